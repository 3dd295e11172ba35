/* WebSocket on the client's side: the opening handshake and frames (RFC 6455). */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONTINUATION = 0x0, TEXT = 0x1, CLOSE = 0x8, PING = 0x9, PONG = 0xA };

struct frame {
    uint8_t opcode;
    bool final, deflated;
    const uint8_t *payload;
    size_t size;
};

/* What the server agreed to. */
struct agreed {
    bool deflate, takeover;
};

/* The upgrade request for ``path``, offering compression as browsers do; its length. */
size_t write_request(char *into, size_t room, const char *host, const char *path, bool compression);

/* Bytes of the answer's head: 0 when it is not all there, -1 when it is no upgrade. */
long read_answer(const uint8_t *bytes, size_t size, struct agreed *agreed);

/* Bytes of one frame at ``bytes``: 0 when it is not all there, -1 when no server may send it. */
long read_frame(const uint8_t *bytes, size_t size, struct frame *frame);

/* A final frame with a mask of zeros, at ``into`` (14 bytes more than ``size``); its length. */
size_t write_frame(uint8_t *into, uint8_t opcode, const void *payload, size_t size);

#endif
