-- The process whose call is about to tell of a result. Once it is gone nobody will, and the result makes room.
ALTER TABLE kept_result ADD COLUMN boot TEXT;

PRAGMA user_version = 25;
