#define _GNU_SOURCE
#include "frames.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The key and its answer that RFC 6455 shows: nothing here depends on a key being fresh. */
static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

size_t write_request(char *into, size_t room, const char *host, const char *path, bool compression) {
    int size = snprintf(into, room,
                        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        path, host, KEY,
                        compression ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
    return (size_t)size;
}

long read_answer(const uint8_t *bytes, size_t size, struct agreed *agreed) {
    const char *head = (const char *)bytes;
    const char *end = memmem(head, size, "\r\n\r\n", 4);
    if (!end) return size > 8192 ? -1 : 0;
    size_t length = (size_t)(end - head) + 4;
    char text[8192 + 4];
    if (length >= sizeof text || strncmp(head, "HTTP/1.1 101", 12)) return -1;
    memcpy(text, head, length);
    text[length] = 0;
    if (!strstr(text, ACCEPT)) return -1;
    agreed->deflate = strcasestr(text, "permessage-deflate") != NULL;
    agreed->takeover = agreed->deflate && !strcasestr(text, "server_no_context_takeover");
    return (long)length;
}

long read_frame(const uint8_t *bytes, size_t size, struct frame *frame) {
    if (size < 2) return 0;
    size_t head = 2, length = bytes[1] & 0x7F;
    if (length == 126) {
        if (size < 4) return 0;
        length = (size_t)bytes[2] << 8 | bytes[3];
        head = 4;
    } else if (length == 127) {
        if (size < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | bytes[i];
        head = 10;
    }
    frame->opcode = bytes[0] & 0x0F;
    frame->final = bytes[0] & 0x80;
    frame->deflated = bytes[0] & 0x40;
    bool control = frame->opcode >= CLOSE;
    bool known = frame->opcode <= 2 || (control && frame->opcode <= PONG);
    if (!known || bytes[0] & 0x30 || bytes[1] & 0x80 || length > (size_t)1 << 30) return -1;
    if (control && (!frame->final || frame->deflated || length > 125)) return -1;
    if (size < head + length) return 0;
    frame->payload = bytes + head;
    frame->size = length;
    return (long)(head + length);
}

size_t write_frame(uint8_t *into, uint8_t opcode, const void *payload, size_t size) {
    size_t head = 2;
    into[0] = 0x80 | opcode;
    if (size < 126) {
        into[1] = 0x80 | (uint8_t)size;
    } else {
        into[1] = 0x80 | 126;
        into[2] = (uint8_t)(size >> 8);
        into[3] = (uint8_t)size;
        head = 4;
    }
    memset(into + head, 0, 4);
    memcpy(into + head + 4, payload, size);
    return head + 4 + size;
}
