CREATE TABLE `revocation_calls` (
	`id` text PRIMARY KEY NOT NULL,
	`data` text NOT NULL,
	`tx_hash` text,
	`block_number` integer,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `revocation_calls_block` ON `revocation_calls` (`block_number`,`created_at`);--> statement-breakpoint
ALTER TABLE `revocations` ADD `call` text DEFAULT '0x0000000000000000000000000000000000000000000000000000000000000000' NOT NULL;