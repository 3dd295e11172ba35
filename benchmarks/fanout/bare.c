/* The least that fan-out can cost: one thread that calls ``send()`` with the same compressed frame for each socket.

   ``bare TEMPLATES``: each line of the file is a message with a byte 1 where its number and the moment (µs) belong; they take turns.
   The port is printed; lines on stdin give the messages a second, 0 to pause. Made once a message: the frame, with the
   window and level of qflowd's. A socket that is full is passed over, and counted on stderr.
*/
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* It answers the one key that the load client sends. */
static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n";

enum { SOCKETS = 32768, ROOM = 1 << 16, TEMPLATES = 256 };
static int viewers[SOCKETS], count, place[SOCKETS], poller;
static char *templates[TEMPLATES];
static int variants;
static uint64_t full;

static int64_t micros(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static size_t make_frame(uint8_t *frame) {
    static z_stream z;
    static uint64_t seq;
    static char text[ROOM];
    const char *template = templates[++seq % (uint64_t)variants], *number = strchr(template, 1), *moment = strchr(number + 1, 1);
    int size = snprintf(text, sizeof text, "%.*s%lu%.*s%lld%s", (int)(number - template), template, seq, (int)(moment - number - 1),
                        number + 1, (long long)micros(CLOCK_REALTIME), moment + 1);
    if (!z.state && deflateInit2(&z, 6, Z_DEFLATED, -10, 5, Z_DEFAULT_STRATEGY) != Z_OK) exit(2);
    deflateReset(&z);
    z.next_in = (uint8_t *)text;
    z.avail_in = (unsigned)size;
    z.next_out = frame + 4;
    z.avail_out = ROOM - 4;
    deflate(&z, Z_SYNC_FLUSH);
    size_t packed = ROOM - 4 - z.avail_out - 4;
    frame[0] = 0xC1;
    frame[1] = 126;
    frame[2] = (uint8_t)(packed >> 8);
    frame[3] = (uint8_t)packed;
    return packed + 4;
}

static void publish(void) {
    static uint8_t frame[ROOM];
    size_t size = make_frame(frame);
    for (int i = 0; i < count; i++)
        if (send(viewers[i], frame, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size) full++;
}

static void on_socket(int fd) {
    char request[4096];
    ssize_t got = recv(fd, request, sizeof request, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        if (place[fd] >= 0) {
            viewers[place[fd]] = viewers[--count];
            place[viewers[place[fd]]] = place[fd];
        }
        close(fd);
    } else if (place[fd] < 0 && got >= 4 && !memcmp(request + got - 4, "\r\n\r\n", 4)) {
        send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
        viewers[place[fd] = count++] = fd;
    }
}

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096)) exit(2);
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void take_in(int listener) {
    int yes = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= SOCKETS) exit(2);
        place[fd] = -1;
        setsockopt(fd, SOL_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int arguments, char **argument) {
    FILE *file = arguments == 2 ? fopen(argument[1], "r") : NULL;
    size_t size = 0;
    while (file && variants < TEMPLATES && getline(&templates[variants], &size, file) > 0) {
        templates[variants][strcspn(templates[variants], "\n")] = 0;
        variants++;
        size = 0;
    }
    if (!variants) return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(0);
    int listener = listen_anywhere();
    struct epoll_event events[256];
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i ? listener : 0};
        epoll_ctl(poller, EPOLL_CTL_ADD, i ? listener : 0, &event);
    }
    double rate = 0;
    int64_t due = 0;
    for (;;) {
        int64_t now = micros(CLOCK_MONOTONIC);
        if (rate > 0 && now >= due) {
            publish();
            now = micros(CLOCK_MONOTONIC);
            while (due <= now) due += (int64_t)(1e6 / rate);
        }
        int wait = rate > 0 ? (int)((due - now + 999) / 1000) : 1000;
        int found = epoll_wait(poller, events, 256, wait < 0 ? 0 : wait);
        for (int i = 0; i < found; i++) {
            int fd = events[i].data.fd;
            char line[64];
            if (fd == listener) {
                take_in(listener);
            } else if (fd) {
                on_socket(fd);
            } else {
                ssize_t got = read(0, line, sizeof line - 1);
                if (got <= 0) return full ? fprintf(stderr, "bare: %lu times a socket was full\n", full), 0 : 0;
                line[got] = 0;
                rate = atof(line);
                due = micros(CLOCK_MONOTONIC);
            }
        }
    }
}
