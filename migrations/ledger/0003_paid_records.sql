-- A record is paid for its score, or because it was cited, or for both; and out of one of the Datanets that the receipt
-- names, null where the catalogue knows of none.
ALTER TABLE paid_record
  ADD COLUMN paid_for text NOT NULL DEFAULT 'score' CHECK (paid_for IN ('score', 'citation')),
  ADD COLUMN datanet text,
  DROP CONSTRAINT paid_record_pkey,
  ADD PRIMARY KEY (request_id, cluster, paid_for);
ALTER TABLE paid_record ALTER COLUMN paid_for DROP DEFAULT;
CREATE INDEX paid_record_datanet ON paid_record (datanet);
