"""Every SQL statement of a group commit.

Each moves a whole group in one call: its argument is one JSON text that SQLite itself takes apart, and where rows come
back they come as one JSON text. sqlite3 gives up the interpreter lock during a statement and takes it again after each
row; row by row, the store's thread and the event loop would wait for each other thousands of times a second.
"""

# groups: [[via id, depth, redirects or null, [[fp, url, host, priority adjustment], ...]], ...]
# The head of a group is taken out once (MATERIALIZED): asked of `g.value` beside each link, it would parse all of them
# again.
TAKE_LINKS = """
INSERT INTO incoming(fp, seq, url, host, priority, depth, via, redirects)
WITH g AS MATERIALIZED (
    SELECT key, value ->> 0 AS via, value ->> 1 AS depth, value ->> 2 AS redirects, value -> 3 AS links
    FROM json_each(?)
)
SELECT l.value ->> 0, g.key * 1000000 + l.key, l.value ->> 1, l.value ->> 2, (l.value ->> 3) + g.depth, g.depth, g.via,
    g.redirects
FROM g, json_each(g.links) l
WHERE NOT EXISTS (SELECT 1 FROM seen WHERE fp = l.value ->> 0)
ON CONFLICT(fp) DO UPDATE SET seq = excluded.seq, priority = excluded.priority, depth = excluded.depth,
    via = excluded.via, redirects = excluded.redirects
WHERE excluded.depth < incoming.depth
"""
ADD_HOSTS = """
INSERT INTO host(name) SELECT DISTINCT host FROM incoming WHERE host NOT IN (SELECT name FROM host)
"""
LAST_URL = "SELECT coalesce(max(id), 0) FROM url"
ADD_URLS = """
INSERT INTO url(url, host, priority, depth, via, state, redirects)
SELECT i.url, h.id, i.priority, i.depth, i.via, iif(i.depth > :max_depth, 5, 0), i.redirects
FROM incoming i JOIN host h ON h.name = i.host ORDER BY i.seq
"""
ADD_SEEN = "INSERT INTO seen(fp) SELECT fp FROM incoming"
NEW_URLS = """
SELECT json_group_array(json_array(u.host, u.priority, u.id, u.url, u.depth, v.url, 0, u.redirects, h.name))
FROM (SELECT * FROM url WHERE id > ? AND state = 0 ORDER BY id) u JOIN host h ON h.id = u.host
LEFT JOIN url v ON v.id = u.via
"""

# What the depth limit holds back may still be reached on a shorter way: `deferred` finds it by fingerprint.
DEFER = """
INSERT INTO deferred(fp, url)
SELECT fp, id FROM (SELECT fp, depth, :last + row_number() OVER (ORDER BY seq) AS id FROM incoming)
WHERE depth > :max_depth
"""
NEARER = """
WITH g AS MATERIALIZED (
    SELECT value ->> 0 AS via, value ->> 1 AS depth, value ->> 2 AS redirects, value -> 3 AS links
    FROM json_each(:groups)
)
SELECT json_group_array(json_array(d.url, g.depth, g.via, (l.value ->> 3) + g.depth, g.redirects))
FROM g, json_each(g.links) l JOIN deferred d ON d.fp = l.value ->> 0
WHERE g.depth <= :max_depth
"""
REVIVE = "UPDATE url SET state = 0, depth = ?2, via = ?3, priority = ?4, redirects = ?5 WHERE id = ?1 AND state = 5"
REVIVED = """
SELECT json_group_array(json_array(u.host, u.priority, u.id, u.url, u.depth, v.url, 0, u.redirects, h.name))
FROM json_each(?) r JOIN url u ON u.id = r.value JOIN host h ON h.id = u.host LEFT JOIN url v ON v.id = u.via
"""
FORGET_DEFERRED = "DELETE FROM deferred WHERE url IN (SELECT value FROM json_each(?))"
DEFERRED_LINES = """
SELECT count(*), group_concat(json_object('url', u.url, 'reason', 'depth', 'depth', u.depth, 'via', v.url), char(10))
FROM url u LEFT JOIN url v ON v.id = u.via WHERE u.id IN (SELECT url FROM deferred)
"""
END_DEFERRED = "UPDATE url SET state = 3 WHERE id IN (SELECT url FROM deferred)"

# The budget of a host counts the URLs let into its queue, so that an endless site cannot fill the disk.
OVER_BUDGET = """
SELECT json_group_array(id) FROM (
    SELECT u.id, row_number() OVER (PARTITION BY u.host ORDER BY u.id) + h.admitted AS place
    FROM url u JOIN host h ON h.id = u.host
    WHERE u.state = 0 AND (u.id > :last OR u.id IN (SELECT value FROM json_each(:revived)))
) WHERE place > :budget
"""
BUDGET_LINES = """
SELECT group_concat(json_object('url', u.url, 'reason', 'host_budget', 'depth', u.depth, 'via', v.url), char(10))
FROM json_each(?) o JOIN url u ON u.id = o.value LEFT JOIN url v ON v.id = u.via
"""
DROP_URLS = "DELETE FROM url WHERE id IN (SELECT value FROM json_each(?))"
COUNT_ADMITTED = """
UPDATE host SET admitted = admitted + n
FROM (
    SELECT host, count(*) AS n FROM url
    WHERE state = 0 AND (id > :last OR id IN (SELECT value FROM json_each(:revived))) GROUP BY host
) t WHERE t.host = host.id
"""

# groups: [[via id, depth, [[fp, url, reason], ...]], ...]
TAKE_REFUSED = """
INSERT OR IGNORE INTO refused(fp, seq, url, reason, depth, via)
WITH g AS MATERIALIZED (SELECT key, value ->> 0 AS via, value ->> 1 AS depth, value -> 2 AS links FROM json_each(?))
SELECT l.value ->> 0, g.key * 1000000 + l.key, l.value ->> 1, l.value ->> 2, g.depth, g.via
FROM g, json_each(g.links) l
WHERE NOT EXISTS (SELECT 1 FROM seen WHERE fp = l.value ->> 0)
"""
SEE_REFUSED = "INSERT INTO seen(fp) SELECT fp FROM refused"
REFUSED_LINES = """
SELECT group_concat(line, char(10)) FROM (
    SELECT json_object('url', r.url, 'reason', r.reason, 'depth', r.depth, 'via', v.url) AS line
    FROM refused r LEFT JOIN url v ON v.id = r.via ORDER BY r.seq)
"""
REFUSED_COUNTS = """
SELECT json_group_object(reason, n) FROM (SELECT reason, count(*) AS n FROM refused GROUP BY reason)
"""

SET_STATE = "UPDATE url SET state = ?1 WHERE id IN (SELECT value FROM json_each(?2))"
SET_ATTEMPTS = """
UPDATE url SET attempts = t.value ->> 1 FROM json_each(?) t WHERE url.id = t.value ->> 0
"""

# contents: [[digest, url id], ...]; the first URL that had a body owns its digest
ADD_CONTENT = "INSERT OR IGNORE INTO content(digest, url) SELECT value ->> 0, value ->> 1 FROM json_each(?)"
DUPLICATES = """
SELECT json_group_array(json_array(t.value ->> 1, u.url))
FROM json_each(?) t JOIN content c ON c.digest = t.value ->> 0 JOIN url u ON u.id = c.url
WHERE c.url <> t.value ->> 1
"""

# claims: [[page's url id, [[fp of the file, digest], ...]], ...]
ADD_CLAIMS = """
INSERT OR IGNORE INTO claim(fp, digest, url)
WITH g AS MATERIALIZED (SELECT value ->> 0 AS url, value -> 1 AS claims FROM json_each(?))
SELECT c.value ->> 0, c.value ->> 1, g.url FROM g, json_each(g.claims) c
"""
CLAIMS = """
SELECT json_group_array(json_array(digest, page)) FROM (
    SELECT c.digest, u.url AS page FROM json_each(?) f JOIN claim c ON c.fp = f.value JOIN url u ON u.id = c.url
    ORDER BY f.key, c.url, c.digest LIMIT 100
)
"""

PUT_ROBOTS = "INSERT OR REPLACE INTO robots(origin, status, body, fetched_at) VALUES (?, ?, ?, ?)"
PUT_OUTPUT = "INSERT OR REPLACE INTO output(name, length, lines) VALUES (?, ?, ?)"
PUT_COUNTER = "INSERT OR REPLACE INTO counter(name, value) VALUES (?, ?)"

HOST_REST = """
SELECT json_group_array(json_array(u.host, u.priority, u.id, u.url, u.depth, v.url, u.attempts, u.redirects, h.name))
FROM (SELECT * FROM url INDEXED BY pending WHERE state = 0 AND host = :host AND (priority, id) > (:priority, :id)
    ORDER BY priority, id LIMIT :limit) u
JOIN host h ON h.id = u.host LEFT JOIN url v ON v.id = u.via
"""
# A loose index scan: one step in the index a host, however many URLs each has.
NEXT_HOSTS = """
WITH RECURSIVE step(id) AS (
    SELECT (SELECT min(host) FROM url INDEXED BY pending WHERE state = 0 AND host > :after)
    UNION ALL
    SELECT (SELECT min(host) FROM url INDEXED BY pending WHERE state = 0 AND host > step.id) FROM step
    WHERE step.id IS NOT NULL LIMIT :limit
)
SELECT json_group_array(id) FROM step WHERE id IS NOT NULL
"""
