-- The ledger: double entry, append only. Amounts are wei. It follows the logs of the contracts (edge/db/postings.ts says
-- which log moves what); the chain is the authority, and GET /v1/ledger/reconciliation compares the two.

CREATE TABLE ledger_account (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- payer: prepaid in the vault. earner: granted by epochs and not claimed. disputed: drawn for epochs that were disabled
  -- and are not refunded yet. outside: whatever came from or went to this address.
  kind text NOT NULL CHECK (kind IN ('payer', 'earner', 'disputed', 'outside')),
  address text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
  UNIQUE (kind, address)
);

CREATE TABLE ledger_transaction (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'epoch', 'disable', 'refund', 'claim', 'reversal')),
  -- What happened, in the outside world's own name: posting the same thing twice is a conflict, not a double. It is
  -- `<block hash>:<log index>` of the log; of a reversal, the id of the transaction it takes back.
  natural_key text NOT NULL,
  block bigint NOT NULL,
  epoch bigint, -- of the kinds that are about one
  details json NOT NULL,
  posted_at timestamptz NOT NULL DEFAULT now(),
  -- Entries may only join while their transaction is being written.
  written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
  UNIQUE (kind, natural_key)
);
CREATE INDEX ledger_transaction_block ON ledger_transaction (block);
CREATE INDEX ledger_transaction_epoch ON ledger_transaction (epoch);

CREATE TABLE ledger_entry (
  transaction_id bigint NOT NULL REFERENCES ledger_transaction,
  account_id bigint NOT NULL REFERENCES ledger_account,
  amount numeric(78, 0) NOT NULL CHECK (amount <> 0), -- positive: owed to the account; negative: paid by it
  PRIMARY KEY (transaction_id, account_id)
);
CREATE INDEX ledger_entry_account ON ledger_entry (account_id);

-- One row per answered request that an epoch settled, and one per record it paid: for statistics, never for money.
-- They go when their epoch is disabled or leaves the chain.
CREATE TABLE settled_receipt (
  request_id text PRIMARY KEY,
  epoch bigint NOT NULL,
  payer text NOT NULL,
  worker text NOT NULL,
  base text NOT NULL,
  adapter text NOT NULL,
  prompt_tokens bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  fee numeric(78, 0) NOT NULL,
  unattributed numeric(78, 0) NOT NULL,
  made_at timestamptz NOT NULL
);
CREATE INDEX settled_receipt_epoch ON settled_receipt (epoch);
CREATE INDEX settled_receipt_adapter ON settled_receipt (adapter, made_at);

CREATE TABLE paid_record (
  request_id text NOT NULL REFERENCES settled_receipt,
  cluster text NOT NULL,
  record text NOT NULL,
  contributor text NOT NULL,
  amount numeric(78, 0) NOT NULL,
  PRIMARY KEY (request_id, cluster)
);
CREATE INDEX paid_record_contributor ON paid_record (contributor);

CREATE FUNCTION ledger_require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  imbalance numeric;
BEGIN
  SELECT coalesce(sum(amount), 0) INTO imbalance FROM ledger_entry WHERE transaction_id = NEW.id;
  IF imbalance <> 0 THEN
    RAISE EXCEPTION 'ledger transaction % % is off by % wei', NEW.kind, NEW.natural_key, imbalance;
  END IF;
  RETURN NULL;
END $$;

-- Deferred to the commit, when all entries are there: one sum per transaction.
CREATE CONSTRAINT TRIGGER ledger_transaction_balances
  AFTER INSERT ON ledger_transaction DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger_require_balance();

CREATE FUNCTION ledger_require_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM added JOIN ledger_transaction t ON t.id = added.transaction_id
    WHERE t.written_by <> pg_current_xact_id()
  ) THEN
    RAISE EXCEPTION 'the ledger is append only: a posted transaction takes no more entries';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER ledger_entry_joins_open_transaction
  AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_require_open();

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append only: % of % refused', TG_OP, TG_TABLE_NAME;
END $$;

CREATE TRIGGER ledger_transaction_stays
  BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transaction
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_entry_stays
  BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Transactions that no reversal has taken back.
CREATE VIEW ledger_standing AS
  SELECT * FROM ledger_transaction t WHERE kind <> 'reversal'
  AND NOT EXISTS (SELECT FROM ledger_transaction r WHERE r.kind = 'reversal' AND r.natural_key = t.id::text);

-- What every comparison with the chain has found (edge/settlement/reconciliation.ts).
CREATE TABLE reconciliation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  made_at timestamptz NOT NULL DEFAULT now(),
  balanced boolean NOT NULL,
  report json NOT NULL
);
