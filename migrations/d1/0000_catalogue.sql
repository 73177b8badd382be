CREATE TABLE `dedup_bands` (
	`datanet_id` text NOT NULL,
	`band` integer NOT NULL,
	`seq` integer NOT NULL,
	PRIMARY KEY(`datanet_id`, `band`, `seq`)
);
--> statement-breakpoint
CREATE INDEX `dedup_bands_seq` ON `dedup_bands` (`seq`);--> statement-breakpoint
CREATE TABLE `dedup_keys` (
	`datanet_id` text NOT NULL,
	`key` text NOT NULL,
	`seq` integer NOT NULL,
	PRIMARY KEY(`datanet_id`, `key`, `seq`)
);
--> statement-breakpoint
CREATE INDEX `dedup_keys_seq` ON `dedup_keys` (`seq`);--> statement-breakpoint
CREATE TABLE `dedup_windows` (
	`window` integer NOT NULL,
	`seq` integer NOT NULL,
	PRIMARY KEY(`window`, `seq`)
);
--> statement-breakpoint
CREATE INDEX `dedup_windows_seq` ON `dedup_windows` (`seq`);--> statement-breakpoint
CREATE TABLE `indexed_records` (
	`seq` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`datanet_id` text NOT NULL,
	`contribution_id` text NOT NULL,
	`record_hash` text NOT NULL,
	`cluster` text NOT NULL,
	`contributor` text NOT NULL,
	`fields` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `indexed_records_hash` ON `indexed_records` (`datanet_id`,`record_hash`);--> statement-breakpoint
CREATE INDEX `indexed_records_contribution` ON `indexed_records` (`contribution_id`);--> statement-breakpoint
CREATE TABLE `adapters` (
	`digest` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`base` text NOT NULL,
	`owner` text NOT NULL,
	`job_id` text NOT NULL,
	`manifest` text NOT NULL,
	`index_root` text NOT NULL,
	`datanets` text NOT NULL,
	`price_per_token` text NOT NULL,
	`status` text NOT NULL,
	`tx_hash` text,
	`created_at` integer NOT NULL,
	`registered_at` integer
);
--> statement-breakpoint
CREATE INDEX `adapters_name` ON `adapters` (`name`,`registered_at`);--> statement-breakpoint
CREATE TABLE `bases` (
	`digest` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`context_length` integer NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `jobs` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`status` text NOT NULL,
	`manifest` text NOT NULL,
	`base_digest` text NOT NULL,
	`price_per_token` text NOT NULL,
	`attempts` integer NOT NULL,
	`lease_id` text,
	`lease_expires_at` integer,
	`worker_id` text,
	`phase` text,
	`progress` real,
	`checkpoint` text,
	`adapter_digest` text,
	`adapter_manifest` text,
	`fine_tuned_model` text,
	`trained_tokens` integer,
	`error` text,
	`created_at` integer NOT NULL,
	`started_at` integer,
	`finished_at` integer
);
--> statement-breakpoint
CREATE INDEX `jobs_account` ON `jobs` (`account_id`,`id`);--> statement-breakpoint
CREATE INDEX `jobs_status` ON `jobs` (`status`,`lease_expires_at`);--> statement-breakpoint
CREATE UNIQUE INDEX `jobs_lease` ON `jobs` (`lease_id`);--> statement-breakpoint
CREATE INDEX `jobs_adapter` ON `jobs` (`adapter_digest`);--> statement-breakpoint
CREATE TABLE `workers` (
	`id` text PRIMARY KEY NOT NULL,
	`address` text NOT NULL,
	`url` text NOT NULL,
	`device` text NOT NULL,
	`bases` text NOT NULL,
	`registered_at` integer NOT NULL,
	`seen_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `workers_address_unique` ON `workers` (`address`);--> statement-breakpoint
CREATE INDEX `workers_seen` ON `workers` (`seen_at`);--> statement-breakpoint
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
	`tx_hash` text,
	`block_number` integer,
	`created_at` integer NOT NULL,
	`processed_at` integer,
	`anchored_at` integer
);
--> statement-breakpoint
CREATE INDEX `contributions_datanet` ON `contributions` (`datanet_id`,`status`,`id`);--> statement-breakpoint
CREATE INDEX `contributions_status` ON `contributions` (`status`,`id`);--> statement-breakpoint
CREATE INDEX `contributions_account` ON `contributions` (`account_id`,`id`);--> statement-breakpoint
CREATE TABLE `datanets` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text NOT NULL,
	`owner` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`description` text NOT NULL,
	`licence` text NOT NULL,
	`licences` text NOT NULL,
	`domain` text NOT NULL,
	`columns` text,
	`profile` text NOT NULL,
	`status` text NOT NULL,
	`tx_hash` text,
	`error` text,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `datanets_slug` ON `datanets` (`account_id`,`slug`);--> statement-breakpoint
CREATE INDEX `datanets_status` ON `datanets` (`status`,`id`);--> statement-breakpoint
CREATE TABLE `login_nonces` (
	`nonce` text PRIMARY KEY NOT NULL,
	`address` text NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `records` (
	`contribution_id` text NOT NULL,
	`row` integer NOT NULL,
	`verdict` text NOT NULL,
	`novelty` integer NOT NULL,
	`reasons` text NOT NULL,
	`detail` text,
	`record_hash` text,
	`cluster` text,
	`evidence` text,
	PRIMARY KEY(`contribution_id`, `row`)
);
--> statement-breakpoint
CREATE INDEX `records_hash` ON `records` (`record_hash`);--> statement-breakpoint
CREATE TABLE `versions` (
	`id` text PRIMARY KEY NOT NULL,
	`datanet_id` text NOT NULL,
	`number` integer NOT NULL,
	`status` text NOT NULL,
	`root` text,
	`manifest` text,
	`records` integer,
	`error` text,
	`tx_hash` text,
	`block_number` integer,
	`created_at` integer NOT NULL,
	`published_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `versions_number` ON `versions` (`datanet_id`,`number`);--> statement-breakpoint
CREATE INDEX `versions_status` ON `versions` (`status`,`id`);--> statement-breakpoint
CREATE INDEX `versions_root` ON `versions` (`root`);