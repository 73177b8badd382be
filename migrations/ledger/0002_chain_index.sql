-- What the contracts have logged, block by block. A block that leaves the chain leaves this table, and its logs with it;
-- edge/db/chain-index.ts does that in one transaction with the reversal of whatever was posted from them.

CREATE TABLE chain_block (
  number bigint PRIMARY KEY,
  hash text NOT NULL UNIQUE CHECK (hash ~ '^0x[0-9a-f]{64}$'),
  made_at timestamptz NOT NULL
);

CREATE TABLE chain_log (
  block bigint NOT NULL REFERENCES chain_block ON DELETE CASCADE,
  log_index integer NOT NULL,
  tx_hash text NOT NULL CHECK (tx_hash ~ '^0x[0-9a-f]{64}$'),
  contract text NOT NULL, -- its name in the deployment, such as inferenceVault
  event text NOT NULL,
  account text, -- the first indexed address: whom it is about
  args json NOT NULL, -- integers as decimal strings, hex in lower case
  PRIMARY KEY (block, log_index)
);
CREATE INDEX chain_log_account ON chain_log (account, block);
CREATE INDEX chain_log_event ON chain_log (contract, event, block);

-- One row. `indexed` is the newest block of chain_block, `posted` the newest whose logs are in the ledger.
CREATE TABLE chain_head (
  id boolean PRIMARY KEY DEFAULT true CHECK (id),
  latest bigint NOT NULL,
  safe bigint NOT NULL CHECK (safe <= latest),
  final bigint NOT NULL CHECK (final <= safe),
  indexed bigint NOT NULL,
  posted bigint NOT NULL CHECK (posted <= indexed)
);
