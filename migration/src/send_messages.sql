-- Commits a batch of sends: locks first, then looks, in one round trip.
--
-- The first statement takes the row locks of the conversations in id order, so that two batches
-- never wait for each other crosswise. The second has a snapshot taken after that: memberships,
-- friendships and idempotency keys are judged as they stand under the locks.
--
-- Outcomes: 0 added, 1 replayed, 2 same key but other input, 3 not a member, 4 not open,
-- 5 the message replied to is not in the conversation.
--
-- The plan is made once per connection, and has to be a nest of index look-ups whatever the
-- statistics of a young table say: hence the planner settings. They do not rule out reading a
-- table that is thought to be empty whole, again for each batch, which is why messages are looked
-- up in subqueries that only one index can serve.
CREATE FUNCTION send_messages(
    conversation_ids uuid[], sender_ids uuid[], message_ids uuid[], bodies text[], reply_to_ids uuid[],
    keys text[], hashes bytea[], moment bigint
) RETURNS TABLE (
    n bigint, outcome smallint, message_id uuid, message_sequence bigint, event_position bigint,
    sender_username varchar, sender_display_name varchar, sender_discoverable boolean, sender_created_at bigint
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM 1 FROM conversation c WHERE c.id = ANY (conversation_ids) ORDER BY c.id FOR NO KEY UPDATE;
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT i.* FROM unnest(conversation_ids, sender_ids, message_ids, bodies, reply_to_ids, keys, hashes)
            WITH ORDINALITY AS i (conversation_id, sender_id, id, body, reply_to_id, key, hash, n)
    ), judged AS MATERIALIZED (
        SELECT i.*, c.sequence, c.position, earlier.id AS earlier_id,
            CASE
                WHEN earlier.id IS NOT NULL AND earlier.input_hash = i.hash THEN 1
                WHEN earlier.id IS NOT NULL THEN 2
                WHEN m.user_id IS NULL THEN 3
                WHEN NOT c.open THEN 4
                WHEN i.reply_to_id IS NOT NULL AND (
                    SELECT replied.conversation_id FROM message replied WHERE replied.id = i.reply_to_id
                ) IS DISTINCT FROM i.conversation_id THEN 5
                ELSE 0
            END::smallint AS outcome
        FROM input i
        LEFT JOIN LATERAL (
            SELECT e.id, e.input_hash FROM message e WHERE e.sender_id = i.sender_id AND e.idempotency_key = i.key LIMIT 1
        ) earlier ON true
        LEFT JOIN conversation c ON c.id = i.conversation_id
        LEFT JOIN member m ON m.conversation_id = i.conversation_id AND m.user_id = i.sender_id
    ), numbered AS MATERIALIZED (
        SELECT j.*, row_number() OVER (PARTITION BY j.conversation_id ORDER BY j.n) AS k
        FROM judged j WHERE j.outcome = 0
    ), messages AS (
        INSERT INTO message (id, conversation_id, sequence, sender_id, body, reply_to_id, idempotency_key, input_hash, created_at)
        SELECT a.id, a.conversation_id, a.sequence + a.k, a.sender_id, a.body, a.reply_to_id, a.key, a.hash, moment
        FROM numbered a
    ), events AS (
        INSERT INTO event (kind, conversation_id, position, message_id, created_at)
        SELECT 1, a.conversation_id, a.position + a.k, a.id, moment FROM numbered a
    ), conversations AS (
        UPDATE conversation c
        SET sequence = c.sequence + t.k, position = c.position + t.k, last_activity_at = greatest(c.last_activity_at, moment)
        FROM (SELECT a.conversation_id, max(a.k) AS k FROM numbered a GROUP BY a.conversation_id) t
        WHERE c.id = t.conversation_id
    ), members AS (
        UPDATE member m SET last_read_sequence = t.sequence, last_read_at = moment
        FROM (SELECT a.conversation_id, a.sender_id, max(a.sequence + a.k) AS sequence
              FROM numbered a GROUP BY a.conversation_id, a.sender_id) t
        WHERE m.conversation_id = t.conversation_id AND m.user_id = t.sender_id AND m.last_read_sequence < t.sequence
    )
    SELECT a.n, 0::smallint, a.id, a.sequence + a.k, a.position + a.k, u.username, u.display_name, u.discoverable, u.created_at
    FROM numbered a JOIN "user" u ON u.id = a.sender_id
    UNION ALL
    SELECT j.n, j.outcome, j.earlier_id, NULL, NULL, NULL, NULL, NULL, NULL FROM judged j WHERE j.outcome <> 0;
END
$$;
