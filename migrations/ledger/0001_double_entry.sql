-- The reward ledger: double entry, append only. Amounts are wei. What is posted here has been settled on chain;
-- the chain is the authority, and GET /v1/ledger/reconciliation compares the two.

CREATE TABLE ledger_account (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('payer', 'earner')),
  address text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
  UNIQUE (kind, address)
);

CREATE TABLE ledger_transaction (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('epoch')),
  -- What happened, in the outside world's own name: posting the same thing twice is a conflict, not a double.
  natural_key text NOT NULL,
  details json NOT NULL,
  posted_at timestamptz NOT NULL DEFAULT now(),
  -- Entries may only join while their transaction is being written.
  written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
  UNIQUE (kind, natural_key)
);

CREATE TABLE ledger_entry (
  transaction_id bigint NOT NULL REFERENCES ledger_transaction,
  account_id bigint NOT NULL REFERENCES ledger_account,
  amount numeric(78, 0) NOT NULL CHECK (amount <> 0), -- positive: owed to the account; negative: paid by it
  PRIMARY KEY (transaction_id, account_id)
);
CREATE INDEX ledger_entry_account ON ledger_entry (account_id);

-- One row per answered request that an epoch settled, and one per record it paid: for statistics, never for money.
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
