CREATE TABLE `accounts` (
	`id` text PRIMARY KEY NOT NULL,
	`address` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `accounts_address_unique` ON `accounts` (`address`);--> statement-breakpoint
CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`name` text NOT NULL,
	`hash` text NOT NULL,
	`hint` text NOT NULL,
	`scopes` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	`revoked_at` integer,
	`last_used_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_keys_hash_unique` ON `api_keys` (`hash`);--> statement-breakpoint
CREATE INDEX `api_keys_account` ON `api_keys` (`account_id`,`id`);--> statement-breakpoint
CREATE TABLE `contributions` (
	`id` text PRIMARY KEY NOT NULL,
	`datanet_id` text NOT NULL,
	`account_id` text NOT NULL,
	`contributor` text NOT NULL,
	`sha256` text NOT NULL,
	`bytes` integer NOT NULL,
	`content_type` text NOT NULL,
	`metadata` text NOT NULL,
	`status` text NOT NULL,
	`errors` text,
	`counts` text,
	`pipeline_hash` text,
	`records_file` text,
	`root` text,
	`accepted` integer,
	`tx_hash` text,
	`block_number` integer,
	`created_at` integer NOT NULL,
	`processed_at` integer,
	`anchored_at` integer
);
--> statement-breakpoint
CREATE INDEX `contributions_datanet` ON `contributions` (`datanet_id`,`status`,`id`);--> statement-breakpoint
CREATE TABLE `datanets` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`owner` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`description` text NOT NULL,
	`licence` text NOT NULL,
	`domain` text NOT NULL,
	`profile` text NOT NULL,
	`status` text NOT NULL,
	`tx_hash` text,
	`error` text,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `datanets_slug` ON `datanets` (`account_id`,`slug`);--> statement-breakpoint
CREATE TABLE `login_nonces` (
	`nonce` text PRIMARY KEY NOT NULL,
	`address` text NOT NULL,
	`expires_at` integer NOT NULL
);
