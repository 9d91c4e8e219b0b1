"""The database of the first user as their service left it: its tables, its enum, and what their
application hangs on them. All names and types are theirs; trueup has to live with each."""

TABLE = "eth_wallet_balances"
CHECKPOINT = "audio_transfers"
FIRST_DAY = "1970-01-01 00:00:00"

SCHEMA = """
CREATE TYPE wallet_chain AS ENUM ('eth', 'sol');
CREATE TABLE users (user_id INT PRIMARY KEY, wallet TEXT, is_current BOOL NOT NULL DEFAULT true);
CREATE TABLE associated_wallets (id SERIAL PRIMARY KEY, user_id INT, wallet TEXT,
    chain wallet_chain NOT NULL, is_current BOOL NOT NULL, is_delete BOOL NOT NULL);
CREATE TABLE eth_wallet_balances (
    wallet TEXT PRIMARY KEY,
    balance NUMERIC NOT NULL DEFAULT 0,
    blocknumber BIGINT,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX eth_wallet_balances_updated_at_idx ON eth_wallet_balances (updated_at);
CREATE TABLE eth_indexer_checkpoints (
    name TEXT PRIMARY KEY,
    last_block BIGINT NOT NULL,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""

# One row a user, kept by adding what a wallet gained: a lost, repeated or invented write stays
# visible for ever. Every UPDATE fires it, also one that changes nothing.
SUMS = """
CREATE TABLE user_eth_balances (user_id INT PRIMARY KEY, balance NUMERIC NOT NULL DEFAULT 0);
CREATE FUNCTION add_to_user() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE gained NUMERIC := NEW.balance - CASE WHEN TG_OP = 'UPDATE' THEN OLD.balance ELSE 0 END;
BEGIN
    INSERT INTO user_eth_balances AS s
    SELECT user_id, gained FROM (
        SELECT user_id FROM users WHERE lower(wallet) = NEW.wallet
        UNION
        SELECT user_id FROM associated_wallets WHERE lower(wallet) = NEW.wallet
           AND chain = 'eth' AND NOT is_delete) AS owners
     ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET balance = s.balance + EXCLUDED.balance;
    RETURN NULL;
END $$;
CREATE TRIGGER add_to_user AFTER INSERT OR UPDATE ON eth_wallet_balances
    FOR EACH ROW EXECUTE FUNCTION add_to_user();
"""

# How the service they ran until now writes: it knows nothing of observed_block.
UPSERT = f"""
INSERT INTO {TABLE} (wallet, balance, blocknumber, updated_at) VALUES (?, ?, ?, now())
ON CONFLICT (wallet) DO UPDATE SET balance = EXCLUDED.balance,
    blocknumber = GREATEST({TABLE}.blocknumber, EXCLUDED.blocknumber), updated_at = now()
"""


def names(world, node, socket, database):
    """What their deployment sets, and no more."""
    return {"ethRpcUrl": node, "ethWsUrl": socket,
            "ethAudioContractAddress": world.token.address,
            "ethStakingContractAddress": world.staking.address,
            "ethDelegateManagerContractAddress": world.delegation.address,
            "writeDbUrl": database}


def checksummed(wallet):
    """Mixed case as wallets' software writes it; which letters are large does not matter here."""
    return "0x" + "".join(c.upper() if i % 2 else c for i, c in enumerate(wallet[2:]))


def their_service_writes(store, truth, wallets, block, zone):
    """Its writes for wallets at a block, and its checkpoint, which moves whether or not all were
    written. Its sessions have a time zone of their own, and the columns have none."""
    right = truth.read(wallets, block)
    store.sql(f"SET TimeZone TO '{zone}'")
    for w in wallets:
        store.sql(UPSERT, w, right[w], block)
    store.sql("UPDATE eth_indexer_checkpoints SET last_block = greatest(last_block, ?), "
              "updated_at = now() WHERE name = ?", block, CHECKPOINT)
