CREATE TABLE `answer_windows` (
	`window` integer PRIMARY KEY NOT NULL,
	`given_at` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `records` ADD `model_output` integer DEFAULT 0 NOT NULL;