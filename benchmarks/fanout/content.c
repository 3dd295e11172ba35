#include "content.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { SLOTS = 256, LARGEST = 4 << 20 };

struct slot {
    uint8_t *wire;
    size_t wire_size;
    char *text;
    struct content content;
};

static struct slot slots[SLOTS];
static const struct streams *known;
static char stamp_pattern[NAME + 4];
static FILE *recording;
static char *room;
static size_t room_size;
uint64_t inflated;

void content_setup(const struct streams *streams, const char *stamp_key, FILE *record) {
    known = streams;
    recording = record;
    snprintf(stamp_pattern, sizeof stamp_pattern, "\"%s\":", stamp_key);
}

/* Past one JSON value; NULL at the end of the text. */
static const char *skip(const char *at) {
    int depth = 0;
    do {
        if (*at == '"') {
            for (at++; *at && *at != '"'; at++)
                if (*at == '\\' && !*++at) return NULL;
            if (!*at) return NULL;
            at++;
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == 0) {
            return NULL;
        } else if (depth) {
            at++;
        } else {
            at += strcspn(at, ",}]");
        }
    } while (depth > 0);
    return at;
}

const char *member(const char *object, const char *key) {
    size_t size = strlen(key);
    if (!object || *object != '{') return NULL;
    const char *at = object + 1;
    while (at && *at == '"') {
        const char *name = at + 1, *value = skip(at);
        if (!value || *value != ':') return NULL;
        value += 1 + strspn(value + 1, " ");
        if (!strncmp(name, key, size) && name[size] == '"') return value;
        at = skip(value);
        if (!at || *at != ',') return NULL;
        at += 1 + strspn(at + 1, " ");
    }
    return NULL;
}

static bool is(const char *value, const char *text) {
    size_t size = strlen(text);
    return value && *value == '"' && !strncmp(value + 1, text, size) && value[1 + size] == '"';
}

static int stream_of(const char *value) {
    for (int i = 0; i < known->count; i++)
        if (is(value, known->name[i])) return i;
    return -1;
}

static void copy_string(char *into, const char *value) {
    size_t size = value && *value == '"' ? strcspn(value + 1, "\"") : 0;
    if (size >= NAME) size = NAME - 1;
    if (size) memcpy(into, value + 1, size);
    into[size] = 0;
}

/* The earliest moment under the stamp's key, in ms or µs: of a message with many items it is the one that waited longest. */
static int64_t stamp_of(const char *text) {
    int64_t found = 0;
    size_t size = strlen(stamp_pattern);
    for (const char *at = text; (at = strstr(at, stamp_pattern)); at += size) {
        int64_t one = strtoll(at + size + strspn(at + size, " "), NULL, 10);
        if (one > 0 && one < 100000000000000) one *= 1000;
        if (one > 0 && (!found || one < found)) found = one;
    }
    return found;
}

static bool read_text(struct content *content, const char *text, size_t size) {
    const char *type = member(text, "type"), *stream = member(text, "stream"), *seq = member(text, "seq");
    memset(content, 0, sizeof *content);
    if (!type) return false;
    content->text = text;
    content->size = size;
    content->stream = -1;
    if (stream && seq) {
        const char *more = member(text, "more");
        content->kind = member(text, "snapshot") ? SNAPSHOT : UPDATE;
        content->stream = stream_of(stream);
        content->seq = strtoll(seq, NULL, 10);
        content->more = more && *more == 't';
        content->stamp = content->kind == UPDATE ? stamp_of(text) : 0;
        copy_string(content->epoch, member(text, "epoch"));
        if (recording && content->kind == UPDATE) fprintf(recording, "%s\n", text);
    } else if (is(type, "subscription_confirmed")) {
        content->kind = CONFIRMED;
    } else if (is(type, "error")) {
        content->kind = ERROR;
    }
    return true;
}

static bool reserve(size_t size) {
    if (size <= room_size) return true;
    if (size > LARGEST) return false;
    char *more = realloc(room, size);
    if (!more) return false;
    room = more;
    room_size = size;
    return true;
}

static bool feed(z_stream *z, const uint8_t *bytes, size_t size, size_t *made) {
    z->next_in = (uint8_t *)bytes;
    z->avail_in = (unsigned)size;
    while (z->avail_in) {
        if (!reserve(*made + 65536 + 1)) return false;
        z->next_out = (uint8_t *)room + *made;
        z->avail_out = (unsigned)(room_size - *made - 1);
        int status = inflate(z, Z_SYNC_FLUSH);
        *made = room_size - 1 - z->avail_out;
        if (status != Z_OK && status != Z_BUF_ERROR) return false;
        if (status == Z_BUF_ERROR && z->avail_out) break;
    }
    return true;
}

/* Inflate one message into ``room``; its size, or -1. */
static long inflate_message(z_stream *z, const uint8_t *bytes, size_t size) {
    size_t made = 0;
    inflated++;
    if (!feed(z, bytes, size, &made) || !feed(z, (const uint8_t *)"\0\0\xff\xff", 4, &made)) return -1;
    if (!reserve(made + 1)) return -1;
    room[made] = 0;
    return (long)made;
}

static z_stream *fresh(z_stream *z) {
    memset(z, 0, sizeof *z);
    return inflateInit2(z, -15) == Z_OK ? z : NULL;
}

void drop_inflater(void **inflater) {
    if (!*inflater) return;
    inflateEnd(*inflater);
    free(*inflater);
    *inflater = NULL;
}

static uint64_t hash(const uint8_t *bytes, size_t size) {
    uint64_t found = size, word = 0;
    for (; size >= 8; size -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        found = (found ^ word) * 0x9E3779B97F4A7C15ull;
        found ^= found >> 29;
    }
    word = 0;
    memcpy(&word, bytes, size);
    found = (found ^ word) * 0x9E3779B97F4A7C15ull;
    return found ^ found >> 32;
}

static const struct content *read_shared(const uint8_t *bytes, size_t size, bool deflated) {
    static z_stream shared;
    struct slot *slot = &slots[(hash(bytes, size) + deflated) % SLOTS];
    if (slot->wire && slot->wire_size == size && !memcmp(slot->wire, bytes, size)) return &slot->content;
    long made = (long)size;
    if (deflated) {
        if (!shared.state && !fresh(&shared)) return NULL;
        inflateReset(&shared);
        made = inflate_message(&shared, bytes, size);
    } else if (reserve(size + 1)) {
        memcpy(room, bytes, size);
        room[size] = 0;
    } else {
        made = -1;
    }
    free(slot->wire);
    free(slot->text);
    slot->wire = NULL;
    slot->text = made < 0 ? NULL : strdup(room);
    if (!slot->text || !read_text(&slot->content, slot->text, (size_t)made)) return NULL;
    slot->wire = malloc(size ? size : 1);
    memcpy(slot->wire, bytes, size);
    slot->wire_size = size;
    return &slot->content;
}

const struct content *read_content(const uint8_t *bytes, size_t size, bool deflated, void **inflater) {
    static struct content own;
    if (!deflated || !inflater) return read_shared(bytes, size, deflated);
    if (!*inflater) {
        *inflater = malloc(sizeof(z_stream));
        if (!*inflater || !fresh(*inflater)) return NULL;
    }
    long made = inflate_message(*inflater, bytes, size);
    return made >= 0 && read_text(&own, room, (size_t)made) ? &own : NULL;
}

/* ``subscription_confirmed``: from where each stream goes on. */
static void confirm(const char *text, const struct streams *streams, struct position *positions, struct faults *faults) {
    const char *given = member(member(text, "data"), "positions");
    for (int i = 0; i < streams->count; i++) {
        const char *one = member(given, streams->name[i]), *seq = member(one, "seq"), *recovered = member(one, "recovered");
        struct position *position = &positions[i];
        bool resumed = position->seq >= 0;
        if (!seq || !recovered) {
            faults->strays++;
            continue;
        }
        if (*recovered == 't') {
            faults->recovered++;
            if (!resumed) faults->strays++;
            position->snapshot = false;
            continue;
        }
        if (resumed) faults->unrecovered++;
        copy_string(position->epoch, member(one, "epoch"));
        position->seq = strtoll(seq, NULL, 10);
        position->snapshot = true;
    }
}

void check(const struct content *content, struct streams *streams, struct position *positions, struct faults *faults) {
    if (content->kind == CONFIRMED) {
        confirm(content->text, streams, positions, faults);
        return;
    }
    if (content->kind != UPDATE && content->kind != SNAPSHOT) return;
    if (content->stream < 0) {
        faults->strays++;
        return;
    }
    struct position *position = &positions[content->stream];
    if (content->kind == SNAPSHOT) {
        faults->snapshots++;
        if (!position->snapshot || content->seq < position->seq) faults->strays++;
        if (!content->more) {
            position->snapshot = false;
            position->seq = content->seq;
        }
        return;
    }
    if (position->snapshot) faults->strays++;
    if (position->seq >= 0 && position->epoch[0] && strcmp(position->epoch, content->epoch)) {
        faults->strays++;
    } else if (position->seq >= 0 && content->seq <= position->seq) {
        faults->repeats++;
    } else if (position->seq >= 0 && content->seq > position->seq + 1) {
        *(streams->counted[content->stream] ? &faults->gaps : &faults->skipped) += 1;
    }
    if (!position->epoch[0] || position->seq < 0) memcpy(position->epoch, content->epoch, NAME);
    position->seq = content->seq;
    if (content->seq > streams->newest[content->stream]) streams->newest[content->stream] = content->seq;
}
