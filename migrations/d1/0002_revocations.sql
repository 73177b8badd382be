CREATE TABLE `revocations` (
	`seq` integer PRIMARY KEY NOT NULL,
	`record` text NOT NULL,
	`contributor` text NOT NULL,
	`contribution_id` text NOT NULL,
	`reason` text NOT NULL,
	`time` integer NOT NULL,
	`head` text NOT NULL,
	`account_id` text,
	`block` integer,
	`note` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `revocations_record` ON `revocations` (`record`,`contributor`);--> statement-breakpoint
CREATE INDEX `revocations_contribution` ON `revocations` (`contribution_id`,`seq`);--> statement-breakpoint
CREATE INDEX `revocations_block` ON `revocations` (`block`);--> statement-breakpoint
ALTER TABLE `versions` ADD `revoked` integer;