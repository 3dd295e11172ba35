/* What messages say: inflated, read, and checked against the positions of each client. */
#ifndef CONTENT_H
#define CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_STREAMS = 8, NAME = 40 };

/* The streams asked for; those that are ``counted`` have to bring each number exactly once and in order. */
struct streams {
    int count;
    char name[MAX_STREAMS][NAME];
    bool counted[MAX_STREAMS];
    int64_t newest[MAX_STREAMS];
};

enum kind { OTHER, UPDATE, SNAPSHOT, CONFIRMED, ERROR };

/* A message as read: for updates and snapshots its stream, number, and the moment it carries (µs since 1970, 0 for none). */
struct content {
    enum kind kind;
    int stream;
    int64_t seq, stamp;
    bool more;
    char epoch[NAME];
    const char *text;
    size_t size;
};

struct position {
    char epoch[NAME];
    int64_t seq;    /* -1 before the first message */
    bool snapshot;  /* one is under way, or is owed */
};

struct faults {
    uint64_t gaps, repeats, strays, skipped, recovered, unrecovered, snapshots;
};

/* Read ``stamp_key`` in messages as their moment; write each distinct update, once, to ``record`` (or NULL). */
void content_setup(const struct streams *streams, const char *stamp_key, FILE *record);

/* The message in ``bytes``. ``inflater``: that of the connection (made on first use), or NULL where each message stands alone;
   identical messages are then inflated once. NULL when it cannot be inflated or is not JSON. Valid until the next call. */
const struct content *read_content(const uint8_t *bytes, size_t size, bool deflated, void **inflater);
void drop_inflater(void **inflater);

/* Hold ``content`` against what a client has had, and count what is wrong. */
void check(const struct content *content, struct streams *streams, struct position *positions, struct faults *faults);

/* Member ``key`` of the JSON object at ``object``, NULL when it has none. */
const char *member(const char *object, const char *key);

extern uint64_t inflated;

#endif
