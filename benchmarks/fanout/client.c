/* The load: many WebSocket clients in one process, driven by lines on stdin, answering in JSON lines on stdout.

   connect N RATE   open N further clients, at most RATE a second (0: at once); answers when all are subscribed
   reset            forget what was counted
   report           what was counted since: messages, bytes, delay from the moment in a message to its receipt, faults, own CPU
   cut N            break N clients, chosen at random, without a word; they come back with their positions; answers as connect does
   churn RATE       from here on so many clients a second leave, half of them with a close frame, and come back
   stop N           N clients no longer read

   -p PORT; -u PATH; -s STREAM,~STATE,...: those to subscribe to, of which the ones without ~ have to bring every number;
   -x JSON: more members for subscribe's data; -k KEY: what a message's moment is called; -b BYTES: receive buffer;
   -r FILE: write each distinct update there; -n: offer no compression; -w: wait for updates, subscribe to nothing.
*/
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "content.h"
#include "frames.h"

enum { CAPACITY = 20000, A_SOURCE = 2000, WINDOW = 256, BUFFER = 256 << 10, EVENTS = 512, BUCKETS = 64 * 32, CODES = 5000 };
enum state { AWAY, CONNECTING, UPGRADING, JOINING, READY };

struct client {
    int fd;
    enum state state;
    bool stopped;
    struct agreed agreed;
    void *inflater;
    uint8_t *rest, *parts;
    size_t rest_size, rest_room, parts_size;
    bool parts_deflated;
    struct position *positions;
};

static struct client *clients;
static int total, ready, away, opening, epoll;
static const char *host = "127.0.0.1", *path = "/", *extra = "";
static int port, receive_buffer;
static bool compression = true, subscribing = true, awaited, storming;
static struct streams streams;
static struct faults faults;
static uint64_t messages, updates, bytes, lost, refused, broken, codes[CODES], delays[BUCKETS], errors;
static int64_t worst, began, connect_began;
static double rate, credit, churn_rate, churn_credit, cpu_began;
static int64_t credited;

static int64_t micros(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

/* Delays are counted in buckets 1/32 of their size apart. */
static void count_delay(int64_t delay) {
    if (delay < 0) delay = 0;
    int shift = delay < 64 ? 0 : 58 - __builtin_clzll((uint64_t)delay);
    int bucket = delay < 64 ? (int)delay : 32 * (shift + 1) + (int)(delay >> shift) - 32;
    delays[bucket]++;
    if (delay > worst) worst = delay;
}

static double quantile(double q) {
    uint64_t count = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++) count += delays[i];
    for (int i = 0; i < BUCKETS; i++) {
        seen += delays[i];
        if (seen && (double)seen >= q * (double)count) {
            if (i < 64) return i / 1000.0;
            int shift = i / 32 - 1;
            return (double)(((int64_t)(i % 32 + 33) << shift) - 1) / 1000.0;
        }
    }
    return 0;
}

static double cpu_seconds(void) {
    return (double)micros(CLOCK_PROCESS_CPUTIME_ID) / 1e6;
}

/* The connection is over; the client waits for its turn to come back. */
static void leave(struct client *one, bool reset) {
    if (reset) setsockopt(one->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(one->fd);
    if (one->state == READY) ready--;
    else opening--;
    away++;
    one->fd = -1;
    one->state = AWAY;
    one->stopped = false;
    one->rest_size = one->parts_size = 0;
    free(one->parts);
    free(one->rest);
    one->parts = one->rest = NULL;
    one->rest_room = 0;
    drop_inflater(&one->inflater);
}

static void transmit(struct client *one, uint8_t opcode, const void *payload, size_t size) {
    static uint8_t wire[65536];
    if (size + 14 > sizeof wire) die("too long to send: %zu bytes", size);
    size_t length = write_frame(wire, opcode, payload, size);
    if (send(one->fd, wire, length, MSG_NOSIGNAL) != (ssize_t)length) broken++;
}

static void subscribe(struct client *one) {
    char text[8192];
    int size = snprintf(text, sizeof text, "{\"type\":\"subscribe\",\"data\":{%s\"streams\":[", extra);
    for (int i = 0; i < streams.count; i++)
        size += snprintf(text + size, sizeof text - (size_t)size, "%s\"%s\"", i ? "," : "", streams.name[i]);
    size += snprintf(text + size, sizeof text - (size_t)size, "],\"resume\":{");
    bool first = true;
    for (int i = 0; i < streams.count; i++) {
        struct position *position = &one->positions[i];
        // A snapshot that was not read to its end is no position.
        if (position->snapshot) position->seq = -1;
        if (position->seq < 0) continue;
        size += snprintf(text + size, sizeof text - (size_t)size, "%s\"%s\":{\"epoch\":\"%s\",\"seq\":%lld}", first ? "" : ",",
                         streams.name[i], position->epoch, (long long)position->seq);
        first = false;
    }
    size += snprintf(text + size, sizeof text - (size_t)size, "}}}");
    transmit(one, TEXT, text, (size_t)size);
}

static void is_ready(struct client *one) {
    one->state = READY;
    opening--;
    ready++;
}

static bool on_message(struct client *one, const uint8_t *payload, size_t size, bool deflated, int64_t now) {
    const struct content *content = read_content(payload, size, deflated, one->agreed.takeover ? &one->inflater : NULL);
    if (!content) return false;
    messages++;
    check(content, &streams, one->positions, &faults);
    if (content->kind == UPDATE) {
        updates++;
        if (content->stamp) count_delay(now - content->stamp);
    }
    if (content->kind == CONFIRMED && one->state == JOINING) is_ready(one);
    if (content->kind == ERROR && !errors++) fprintf(stderr, "client: %s\n", content->text);
    return true;
}

/* Whether the connection goes on. */
static bool on_frame(struct client *one, const struct frame *frame, int64_t now) {
    if (frame->opcode == PING) {
        transmit(one, PONG, frame->payload, frame->size);
    } else if (frame->opcode == CLOSE) {
        int code = frame->size >= 2 ? frame->payload[0] << 8 | frame->payload[1] : 1005;
        codes[code < CODES ? code : 0]++;
        transmit(one, CLOSE, frame->payload, frame->size < 2 ? 0 : 2);
        return false;
    } else if (frame->opcode <= 2 && frame->final && !one->parts) {
        return frame->opcode && on_message(one, frame->payload, frame->size, frame->deflated, now);
    } else if (frame->opcode <= 2) {
        if (!frame->opcode != !!one->parts) return false;
        if (frame->opcode) one->parts_deflated = frame->deflated;
        one->parts = realloc(one->parts, one->parts_size + frame->size + 1);
        memcpy(one->parts + one->parts_size, frame->payload, frame->size);
        one->parts_size += frame->size;
        if (frame->final) {
            bool fine = on_message(one, one->parts, one->parts_size, one->parts_deflated, now);
            free(one->parts);
            one->parts = NULL;
            one->parts_size = 0;
            return fine;
        }
    }
    return true;
}

static void keep_rest(struct client *one, const uint8_t *from, size_t size) {
    if (size > one->rest_room) {
        one->rest_room = size * 2;
        one->rest = realloc(one->rest, one->rest_room);
    }
    if (size) memmove(one->rest, from, size);
    one->rest_size = size;
}

static void on_readable(struct client *one) {
    static uint8_t buffer[BUFFER];
    size_t held = one->rest_size;
    if (held >= BUFFER / 2) {
        // A message of many reads is gathered where it is.
        keep_rest(one, one->rest, held);
        if (one->rest_room < held + BUFFER) one->rest = realloc(one->rest, one->rest_room = 2 * held + BUFFER);
    } else if (held) {
        memcpy(buffer, one->rest, held);
    }
    uint8_t *all = held >= BUFFER / 2 ? one->rest : buffer;
    ssize_t got = recv(one->fd, all + held, all == buffer ? BUFFER - held : BUFFER, 0);
    int64_t now = micros(CLOCK_REALTIME);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        lost++;
        leave(one, false);
        return;
    }
    bytes += (uint64_t)got;
    size_t size = held + (size_t)got, at = 0;
    one->rest_size = 0;
    if (one->state == UPGRADING) {
        long head = read_answer(all, size, &one->agreed);
        if (head < 0) {
            refused++;
            leave(one, true);
            return;
        }
        if (head > 0) {
            at = (size_t)head;
            one->state = JOINING;
            if (subscribing && streams.count) subscribe(one);
            else is_ready(one);
        }
    }
    while (one->state >= JOINING && at < size) {
        struct frame frame;
        long length = read_frame(all + at, size - at, &frame);
        if (!length) break;
        if (length < 0 || !on_frame(one, &frame, now)) {
            if (length < 0 || frame.opcode != CLOSE) broken++;
            lost++;
            leave(one, false);
            return;
        }
        at += (size_t)length;
    }
    keep_rest(one, all + at, size - at);
}

static void open_one(struct client *one, int index) {
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one->fd < 0) die("socket: %s", strerror(errno));
    int yes = 1;
    // One source address has some 28,000 ports, and those of ended connections rest for a minute.
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000002u + (unsigned)(index / A_SOURCE % 200))};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    setsockopt(one->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(one->fd, SOL_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (receive_buffer) setsockopt(one->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (bind(one->fd, (struct sockaddr *)&from, sizeof from)) die("bind: %s", strerror(errno));
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = one};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &event)) die("epoll: %s", strerror(errno));
    one->state = CONNECTING;
    away--;
    opening++;
}

static void on_connected(struct client *one) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        refused++;
        leave(one, false);
        return;
    }
    char request[2048], name[64];
    snprintf(name, sizeof name, "%s:%d", host, port);
    size_t length = write_request(request, sizeof request, name, path, compression);
    if (send(one->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length) broken++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = one};
    epoll_ctl(epoll, EPOLL_CTL_MOD, one->fd, &event);
    one->state = UPGRADING;
}

static double allowance(double *left, double a_second, int64_t passed, double most) {
    *left += a_second * (double)passed / 1e6;
    if (*left > most) *left = most;
    return *left;
}

static struct client *anyone(enum state state) {
    int start = (int)(random() % total);
    for (int i = 0; i < total; i++) {
        struct client *one = &clients[(start + i) % total];
        if (one->state == state && !one->stopped) return one;
    }
    return NULL;
}

/* Let those who are away come back, and others leave, as fast as is allowed. */
static void pace(void) {
    static int next;
    int64_t now = micros(CLOCK_MONOTONIC), passed = now - credited;
    credited = now;
    allowance(&credit, rate, passed, 50);
    for (int looked = 0; away && looked < total && (storming || opening < WINDOW) && (storming || !rate || credit >= 1); looked++) {
        next = (next + 1) % total;
        if (clients[next].state != AWAY) continue;
        open_one(&clients[next], next);
        credit -= rate && !storming ? 1 : 0;
    }
    for (allowance(&churn_credit, churn_rate, passed, 50); churn_credit >= 1; churn_credit--) {
        struct client *one = total ? anyone(READY) : NULL;
        if (!one) continue;
        bool polite = random() & 1;
        if (polite) transmit(one, CLOSE, "\x03\xe8", 2);
        leave(one, !polite);
    }
    if (awaited && ready == total) {
        awaited = storming = false;
        printf("{\"ready\": %d, \"seconds\": %.3f}\n", ready, (double)(now - connect_began) / 1e6);
        fflush(stdout);
    }
}

static void report(void) {
    int behind = 0, deflating = 0;
    for (int i = 0; i < total; i++) {
        deflating += clients[i].state == READY && clients[i].agreed.deflate;
        for (int s = 0; s < streams.count && clients[i].state == READY && !clients[i].stopped; s++)
            behind += streams.counted[s] && clients[i].positions[s].seq < streams.newest[s];
    }
    printf("{\"clients\": %d, \"away\": %d, \"compressed\": %d, \"seconds\": %.6f, \"cpu\": %.6f, \"messages\": %lu, \"updates\": %lu, "
           "\"bytes\": %lu, \"inflated\": %lu, ",
           ready, away, deflating, (double)(micros(CLOCK_MONOTONIC) - began) / 1e6, cpu_seconds() - cpu_began, messages, updates,
           bytes, inflated);
    printf("\"delay\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}, ", quantile(0.5), quantile(0.99), (double)worst / 1000);
    printf("\"gaps\": %lu, \"repeats\": %lu, \"strays\": %lu, \"skipped\": %lu, \"behind\": %d, \"recovered\": %lu, "
           "\"unrecovered\": %lu, \"snapshots\": %lu, \"lost\": %lu, \"refused\": %lu, \"broken\": %lu, \"errors\": %lu, \"closes\": {",
           faults.gaps, faults.repeats, faults.strays, faults.skipped, behind, faults.recovered, faults.unrecovered,
           faults.snapshots, lost, refused, broken, errors);
    const char *comma = "";
    for (int i = 0; i < CODES; i++)
        if (codes[i]) printf("%s\"%d\": %lu", comma, i, codes[i]), comma = ", ";
    printf("}}\n");
    fflush(stdout);
}

static void reset(void) {
    messages = updates = bytes = lost = refused = broken = errors = inflated = 0;
    worst = 0;
    memset(&faults, 0, sizeof faults);
    memset(codes, 0, sizeof codes);
    memset(delays, 0, sizeof delays);
    began = micros(CLOCK_MONOTONIC);
    cpu_began = cpu_seconds();
}

static void await_all(void) {
    awaited = true;
    connect_began = micros(CLOCK_MONOTONIC);
}

static void grow(int count) {
    if (total + count > CAPACITY) die("room for %d clients only", CAPACITY);
    for (int i = total; i < total + count; i++) {
        clients[i] = (struct client){.fd = -1, .positions = calloc(MAX_STREAMS, sizeof(struct position))};
        for (int s = 0; s < MAX_STREAMS; s++) clients[i].positions[s].seq = -1;
    }
    total += count;
    away += count;
    await_all();
}

static void stop(int count) {
    for (struct client *one; count > 0 && (one = anyone(READY)); count--) {
        struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = one};
        epoll_ctl(epoll, EPOLL_CTL_MOD, one->fd, &event);
        one->stopped = true;
    }
}

static void on_command(void) {
    static char line[256];
    static size_t size;
    ssize_t got = read(0, line + size, sizeof line - 1 - size);
    if (got <= 0) exit(0);
    line[size += (size_t)got] = 0;
    for (char *end; (end = strchr(line, '\n')); memmove(line, end + 1, size -= (size_t)(end + 1 - line)), line[size] = 0) {
        int count;
        double a_second = 0;
        *end = 0;
        if (sscanf(line, "connect %d %lf", &count, &a_second) == 2) {
            rate = a_second;
            grow(count);
        } else if (sscanf(line, "cut %d", &count) == 1) {
            for (struct client *one; count > 0 && (one = anyone(READY)); count--) leave(one, true);
            storming = true;
            await_all();
        } else if (sscanf(line, "churn %lf", &a_second) == 1) {
            churn_rate = a_second;
            churn_credit = 0;
        } else if (sscanf(line, "stop %d", &count) == 1) {
            stop(count);
        } else if (!strcmp(line, "report")) {
            report();
        } else if (!strcmp(line, "reset")) {
            reset();
        } else {
            die("no such command: %s", line);
        }
    }
}

static void add_streams(char *list) {
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        if (streams.count == MAX_STREAMS) die("at most %d streams", MAX_STREAMS);
        bool state = *name == '~';
        snprintf(streams.name[streams.count], NAME, "%s", name + state);
        streams.counted[streams.count++] = !state;
    }
}

int main(int count, char **arguments) {
    const char *stamp = "sampledAt";
    FILE *record = NULL;
    for (int option; (option = getopt(count, arguments, "p:s:x:k:u:b:r:nw")) != -1;) {
        if (option == 'p') port = atoi(optarg);
        else if (option == 's') add_streams(optarg);
        else if (option == 'x') extra = optarg;
        else if (option == 'k') stamp = optarg;
        else if (option == 'u') path = optarg;
        else if (option == 'b') receive_buffer = atoi(optarg);
        else if (option == 'n') compression = false;
        else if (option == 'w') subscribing = false;
        else if (option == 'r' && !(record = fopen(optarg, "w"))) die("%s: %s", optarg, strerror(errno));
        else if (option == '?') die("usage: client -p PORT [-s STREAM,~STATE,...] [-x EXTRA] [-k KEY] [-u PATH] [-b BYTES] [-r FILE] [-n] [-w]");
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    clients = calloc(CAPACITY, sizeof *clients);
    content_setup(&streams, stamp, record);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &input);
    credited = micros(CLOCK_MONOTONIC);
    reset();
    for (;;) {
        int found = epoll_wait(epoll, events, EVENTS, away || churn_rate > 0 ? 1 : 100);
        for (int i = 0; i < found; i++) {
            struct client *one = events[i].data.ptr;
            if (!one) on_command();
            else if (one->state == AWAY) continue;
            else if (one->state == CONNECTING) on_connected(one);
            else if (one->stopped) lost++, leave(one, true);
            else on_readable(one);
        }
        if (record) fflush(record);
        pace();
    }
}
