-- The review's database, version 1. Decisions are appended and never changed: a later one, or one that undoes, counts.
-- A database of an older version is brought here by migrations/; both must give the same tables.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE reviewer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    role TEXT NOT NULL CHECK (role IN ('reviewer', 'adjudicator', 'lead')),
    token_sha256 TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    revoked_at TEXT,
    open_when_revoked INTEGER -- places of the queue that were not decided when the link was revoked
) STRICT;

-- What the browser's cookie stands for; only its hash is kept.
CREATE TABLE session (
    token_sha256 TEXT PRIMARY KEY,
    reviewer_id INTEGER NOT NULL REFERENCES reviewer (id),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    ended_at TEXT
) STRICT;
CREATE INDEX session_of_reviewer ON session (reviewer_id);

-- An image to be judged. Nothing here but the pixels reaches a blinded reviewer. Drawn anew with other bytes it is
-- another item; the one before is then not current: it has a fault, and what was said of it counts no more.
CREATE TABLE item (
    id INTEGER PRIMARY KEY,
    opaque TEXT NOT NULL UNIQUE, -- for unblinded roles' pages; has nothing in common with the slots' ids
    plan_key TEXT NOT NULL UNIQUE, -- the image id; of bytes that came later with their hash
    is_current INTEGER NOT NULL DEFAULT 1,
    image_id TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('real', 'synthetic')),
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    label TEXT NOT NULL,
    "set" TEXT NOT NULL,
    strategy TEXT,
    prompt TEXT,
    skin_type INTEGER,
    skin_type_group TEXT,
    severity TEXT,
    parent_id TEXT,
    UNIQUE (image_id, sha256)
) STRICT;
CREATE UNIQUE INDEX item_of_now ON item (image_id) WHERE is_current;

-- One place in one reviewer's queue. `opaque` is all that the page knows of it; a repeat has an opaque id of its own.
CREATE TABLE slot (
    id INTEGER PRIMARY KEY,
    opaque TEXT NOT NULL UNIQUE,
    reviewer_id INTEGER NOT NULL REFERENCES reviewer (id),
    item_id INTEGER NOT NULL REFERENCES item (id),
    kind TEXT NOT NULL CHECK (kind IN ('first', 'repeat', 'adjudication')),
    position INTEGER NOT NULL,
    is_open INTEGER NOT NULL DEFAULT 1, -- derived: no decision stands, and the image can be shown
    UNIQUE (item_id, reviewer_id, kind)
) STRICT;
CREATE INDEX slot_in_order ON slot (reviewer_id, (kind = 'adjudication'), position);
CREATE INDEX slot_open ON slot (reviewer_id, (kind = 'adjudication'), position) WHERE is_open;

CREATE TABLE served (
    slot_id INTEGER PRIMARY KEY REFERENCES slot (id),
    at TEXT NOT NULL
) STRICT;

-- `id` is the order of arrival, which no clock can turn round. `undoes` names the client_id of the decision taken back.
CREATE TABLE decision (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id TEXT NOT NULL UNIQUE,
    slot_id INTEGER NOT NULL REFERENCES slot (id),
    verdict TEXT NOT NULL CHECK (verdict IN ('accept', 'reject', 'none')),
    reasons TEXT NOT NULL CHECK (json_valid(reasons)),
    answers TEXT NOT NULL CHECK (json_valid(answers)),
    comment TEXT NOT NULL,
    seconds REAL CHECK (seconds >= 0),
    client_time TEXT,
    server_time TEXT NOT NULL,
    undoes TEXT UNIQUE REFERENCES decision (client_id),
    CHECK (undoes IS NULL OR verdict = 'none')
) STRICT;
CREATE INDEX decision_of_slot ON decision (slot_id, id);

-- What follows from the rows above, kept by the triggers below so that nobody waits for a count. `counts.py` can make
-- all of it anew.

-- The decision that counts for a slot.
CREATE TABLE standing (
    slot_id INTEGER PRIMARY KEY REFERENCES slot (id),
    verdict TEXT NOT NULL,
    decision_id INTEGER NOT NULL REFERENCES decision (id)
) STRICT;

-- How many places a reviewer's queue has, how many are decided, and how many are undecided and cannot be shown.
CREATE TABLE tally (
    reviewer_id INTEGER NOT NULL,
    is_adjudication INTEGER NOT NULL,
    total INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    faulty INTEGER NOT NULL,
    PRIMARY KEY (reviewer_id, is_adjudication)
) STRICT, WITHOUT ROWID;

-- How often an image stands accepted and rejected at first looks, and how often an adjudicator's word stands.
CREATE TABLE opinion (
    item_id INTEGER PRIMARY KEY REFERENCES item (id),
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    words INTEGER NOT NULL
) STRICT;
CREATE INDEX opinion_disputed ON opinion (item_id) WHERE accepted > 0 AND rejected > 0 AND words = 0;

-- An image that could not be shown: it is kept out of the accepted ones and reported, until it can be shown again.
CREATE TABLE fault (
    item_id INTEGER PRIMARY KEY REFERENCES item (id),
    what TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;

CREATE TABLE fault_over (
    id INTEGER PRIMARY KEY,
    item_id INTEGER NOT NULL REFERENCES item (id),
    what TEXT NOT NULL,
    at TEXT NOT NULL,
    over_at TEXT NOT NULL
) STRICT;

CREATE TRIGGER decision_stands AFTER INSERT ON decision
BEGIN
    DELETE FROM standing WHERE slot_id = NEW.slot_id;
    INSERT INTO standing (slot_id, verdict, decision_id)
    SELECT given.slot_id, given.verdict, given.id
    FROM decision AS given
    WHERE given.slot_id = NEW.slot_id
        AND given.verdict <> 'none'
        AND NOT EXISTS (SELECT 1 FROM decision AS later WHERE later.undoes = given.client_id)
    ORDER BY given.id DESC
    LIMIT 1;
END;

CREATE TRIGGER standing_comes AFTER INSERT ON standing
BEGIN
    UPDATE slot SET is_open = 0 WHERE id = NEW.slot_id;
    UPDATE tally SET
        accepted = accepted + (NEW.verdict = 'accept'),
        rejected = rejected + (NEW.verdict = 'reject'),
        faulty = faulty - EXISTS (
            SELECT 1 FROM fault JOIN slot ON slot.item_id = fault.item_id WHERE slot.id = NEW.slot_id)
    WHERE (reviewer_id, is_adjudication) = (
        SELECT reviewer_id, kind = 'adjudication' FROM slot WHERE id = NEW.slot_id);
    INSERT INTO opinion (item_id, accepted, rejected, words)
    SELECT item_id, kind = 'first' AND NEW.verdict = 'accept', kind = 'first' AND NEW.verdict = 'reject',
        kind = 'adjudication'
    FROM slot WHERE id = NEW.slot_id
    ON CONFLICT (item_id) DO UPDATE SET
        accepted = accepted + excluded.accepted,
        rejected = rejected + excluded.rejected,
        words = words + excluded.words;
END;

CREATE TRIGGER standing_goes AFTER DELETE ON standing
BEGIN
    UPDATE slot SET is_open = NOT EXISTS (SELECT 1 FROM fault WHERE fault.item_id = slot.item_id)
    WHERE id = OLD.slot_id;
    UPDATE tally SET
        accepted = accepted - (OLD.verdict = 'accept'),
        rejected = rejected - (OLD.verdict = 'reject'),
        faulty = faulty + EXISTS (
            SELECT 1 FROM fault JOIN slot ON slot.item_id = fault.item_id WHERE slot.id = OLD.slot_id)
    WHERE (reviewer_id, is_adjudication) = (
        SELECT reviewer_id, kind = 'adjudication' FROM slot WHERE id = OLD.slot_id);
    UPDATE opinion SET
        accepted = accepted - (was.kind = 'first' AND OLD.verdict = 'accept'),
        rejected = rejected - (was.kind = 'first' AND OLD.verdict = 'reject'),
        words = words - (was.kind = 'adjudication')
    FROM slot AS was WHERE was.id = OLD.slot_id AND opinion.item_id = was.item_id;
END;

CREATE TRIGGER fault_comes AFTER INSERT ON fault
BEGIN
    UPDATE tally SET faulty = faulty + (
        SELECT count(*) FROM slot
        WHERE slot.item_id = NEW.item_id AND slot.reviewer_id = tally.reviewer_id
            AND (slot.kind = 'adjudication') = tally.is_adjudication AND slot.is_open)
    WHERE reviewer_id IN (SELECT reviewer_id FROM slot WHERE item_id = NEW.item_id);
    UPDATE slot SET is_open = 0 WHERE item_id = NEW.item_id AND is_open;
END;

CREATE TRIGGER fault_goes AFTER DELETE ON fault
BEGIN
    UPDATE slot SET is_open = 1
    WHERE item_id = OLD.item_id AND NOT EXISTS (SELECT 1 FROM standing WHERE standing.slot_id = slot.id);
    UPDATE tally SET faulty = faulty - (
        SELECT count(*) FROM slot
        WHERE slot.item_id = OLD.item_id AND slot.reviewer_id = tally.reviewer_id
            AND (slot.kind = 'adjudication') = tally.is_adjudication AND slot.is_open)
    WHERE reviewer_id IN (SELECT reviewer_id FROM slot WHERE item_id = OLD.item_id);
END;

CREATE TRIGGER slot_comes AFTER INSERT ON slot
BEGIN
    INSERT INTO tally
    VALUES (NEW.reviewer_id, NEW.kind = 'adjudication', 1, 0, 0, EXISTS (
        SELECT 1 FROM fault WHERE item_id = NEW.item_id))
    ON CONFLICT DO UPDATE SET total = total + 1, faulty = faulty + excluded.faulty;
    UPDATE slot SET is_open = 0
    WHERE id = NEW.id AND EXISTS (SELECT 1 FROM fault WHERE item_id = NEW.item_id);
END;

-- A slot with a decision never goes: `standing` refers to it.
CREATE TRIGGER slot_goes AFTER DELETE ON slot
BEGIN
    UPDATE tally SET total = total - 1, faulty = faulty - (NOT OLD.is_open)
    WHERE reviewer_id = OLD.reviewer_id AND is_adjudication = (OLD.kind = 'adjudication');
END;

CREATE TRIGGER decision_is_never_changed BEFORE UPDATE ON decision
BEGIN SELECT RAISE(ABORT, 'decisions are never changed'); END;

CREATE TRIGGER decision_is_never_removed BEFORE DELETE ON decision
BEGIN SELECT RAISE(ABORT, 'decisions are never removed'); END;

-- INSERT OR REPLACE would remove a row without asking the trigger above.
CREATE TRIGGER decision_is_never_replaced BEFORE INSERT ON decision
WHEN EXISTS (
    SELECT 1 FROM decision
    WHERE client_id = NEW.client_id OR id = NEW.id OR (NEW.undoes IS NOT NULL AND undoes = NEW.undoes)
)
BEGIN SELECT RAISE(ABORT, 'decisions are never replaced'); END;

CREATE TRIGGER served_is_never_changed BEFORE UPDATE ON served
BEGIN SELECT RAISE(ABORT, 'what was served is never changed'); END;

CREATE TRIGGER served_is_never_removed BEFORE DELETE ON served
BEGIN SELECT RAISE(ABORT, 'what was served is never removed'); END;

-- The queue may be planned anew (positions move, unseen slots go), but a slot never stands for another image.
CREATE TRIGGER slot_stays BEFORE UPDATE OF id, opaque, reviewer_id, item_id, kind ON slot
BEGIN SELECT RAISE(ABORT, 'a slot never stands for another image'); END;

CREATE TRIGGER item_stays BEFORE UPDATE OF
    id, opaque, plan_key, image_id, source, path, sha256, label, "set", strategy, prompt, skin_type, skin_type_group,
    severity, parent_id ON item
BEGIN SELECT RAISE(ABORT, 'items are never changed'); END;
