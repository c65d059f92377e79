/*
 * One end of a measured connection, in C: what `rover-rtc bench` is in Rust, by the same contract, so that
 * both can be measured side by side, and beside other libraries' shards.
 *
 *     bench answer --dir /tmp/run --mode throughput --size 16384
 *     bench offer  --dir /tmp/run --mode throughput --size 16384      (another terminal, the same directory)
 *
 * Signaling goes through files in the directory. One thread, no callback.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rover_rtc.h>

static const double WARM_UP = 1.0, AFTER = 0.7, BEFORE_SENDING = 0.3, ECHO_PATIENCE = 12.0;
static const char *const HELP =
    "bench offer|answer --dir D --mode setup|throughput|latency|stream|hold [options]\n"
    "bench features\n\n"
    "  --size BYTES      of a message (default 100)\n"
    "  --seconds S       to measure or to send (default 5)\n"
    "  --rate R          messages a second (default 100)\n"
    "  --num N           connections, in mode hold (default 1)\n"
    "  --channel MODE    plain or reliable (default plain); the same on both sides\n"
    "  --unordered       open the channel unordered; plain only\n\n"
    "examples (two terminals):\n"
    "  bench answer --dir /tmp/run --mode latency --rate 1000 --channel reliable\n"
    "  bench offer  --dir /tmp/run --mode latency --rate 1000 --channel reliable\n";

static struct {
    bool offers, unordered;
    const char *dir, *mode, *channel;
    size_t size;
    double seconds, rate;
    int num;
} opt = {.mode = "", .channel = "plain", .size = 100, .seconds = 5, .rate = 100, .num = 1};

static int log_fd = -1;

/* A connection. */
struct wire {
    rover_rtc_peer *peer;
    rover_rtc_channel *bench;
    bool open;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t unix_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec)
        + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* A line of the log, whole, by one write. */
static void note(int fd, const char *text) {
    char line[512];
    int size = snprintf(line, sizeof line, "%" PRIu64 " %.480s\n", unix_ns(), text);
    if (write(fd, line, (size_t)size) != size) _exit(1);
}

static void fatal(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, rover_rtc_last_error());
    if (log_fd >= 0) note(log_fd, "fatal");
    exit(1);
}

static void check(rover_rtc_status status, const char *what) {
    if (status < 0) fatal(what);
}

static char *path(char *buffer, const char *dir, const char *name) {
    snprintf(buffer, 4096, "%s/%s", dir, name);
    return buffer;
}

/* Writes a file under another name, then renames it: nobody reads half of it. */
static void write_atomic(const char *dir, const char *name, const char *text) {
    char temporary[4096], final[4096];
    path(final, dir, name);
    snprintf(temporary, sizeof temporary, "%.4000s.tmp", final);
    FILE *file = fopen(temporary, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) || rename(temporary, final)) {
        perror(final);
        exit(1);
    }
}

/* Waits for a file of the other side, and reads it. */
static void read_when_there(const char *dir, const char *name, char *text, size_t capacity) {
    char file_name[4096];
    for (;;) {
        FILE *file = fopen(path(file_name, dir, name), "r");
        if (file) {
            text[fread(text, 1, capacity - 1, file)] = 0;
            fclose(file);
            return;
        }
        usleep(2000);
    }
}

/* Descriptions travel as `{"type":..., "sdp":...}`: what JSON has to escape in an SDP is line ends. */
static void to_json(const char *type, const char *sdp, char *json, size_t capacity) {
    size_t used = (size_t)snprintf(json, capacity, "{\"type\":\"%s\",\"sdp\":\"", type);
    for (; *sdp && used + 8 < capacity; sdp++) {
        const char *escaped = *sdp == '\r' ? "\\r" : *sdp == '\n' ? "\\n" : NULL;
        if (escaped) used += (size_t)sprintf(json + used, "%s", escaped);
        else json[used++] = *sdp;
    }
    strcpy(json + used, "\"}");
}

static void from_json(const char *json, char *sdp, size_t capacity) {
    const char *at = strstr(json, "\"sdp\":");
    at = at ? strchr(at + 6, '"') : NULL;
    if (!at) {
        fprintf(stderr, "bench: no sdp in the file of the other side\n");
        exit(1);
    }
    size_t used = 0;
    for (at++; *at && *at != '"' && used + 1 < capacity; at++) {
        if (*at == '\\') {
            at++;
            sdp[used++] = *at == 'r' ? '\r' : *at == 'n' ? '\n' : *at;
        } else {
            sdp[used++] = *at;
        }
    }
    sdp[used] = 0;
}

/* Takes all events that there are; true if the channel is open. */
static bool pull(struct wire *wire, bool *room) {
    rover_rtc_event event;
    event.struct_size = sizeof event;
    while (rover_rtc_peer_next_event(wire->peer, &event) == ROVER_RTC_OK) {
        switch (event.kind) {
        case ROVER_RTC_EVENT_CHANNEL_OPEN: wire->open = true; break;
        case ROVER_RTC_EVENT_SEND_READY: *room = true; break;
        case ROVER_RTC_EVENT_STATE:
            if (event.value == ROVER_RTC_STATE_CONNECTED) note(log_fd, "ice connected");
            break;
        case ROVER_RTC_EVENT_PATH_SWITCH: note(log_fd, "pair"); break;
        case ROVER_RTC_EVENT_CLOSED: note(log_fd, "closed"); break;
        default: break;
        }
    }
    return wire->open;
}

/* Waits until there are events, or a time has come. */
static void wait_until(struct wire *wire, double when) {
    double left = when - now();
    rover_rtc_peer_wait_us(wire->peer, left > 0 ? (int64_t)(left * 1e6) : 0);
}

static void connect_wire(struct wire *wire, const char *dir) {
    static char sdp[65536], json[131072];
    rover_rtc_channel_config channel;
    rover_rtc_peer_config config;
    check(rover_rtc_channel_config_init(&channel, sizeof channel), "channel");
    check(rover_rtc_peer_config_init(&config, sizeof config), "config");
    bool plain = strcmp(opt.channel, "plain") == 0;
    channel.mode = plain ? ROVER_RTC_MODE_PLAIN : ROVER_RTC_MODE_RELIABLE;
    channel.label = "bench";
    channel.unordered = opt.unordered;
    channel.max_message = opt.size > 262144 ? opt.size : 0;
    channel.outbox_messages = UINT64_MAX;
    /* The contract: about 1 MiB for bulk, no limit for a stream that must not block. */
    channel.outbox_bytes = strcmp(opt.mode, "throughput") == 0 ? 1 << 20 : UINT64_MAX;
    config.channels = &channel;
    config.channel_count = 1;
    memset(wire, 0, sizeof *wire);
    if (opt.offers) {
        check(rover_rtc_peer_new_offer(&config, &wire->peer), "offer");
    } else {
        read_when_there(dir, "offer.json", json, sizeof json);
        from_json(json, sdp, sizeof sdp);
        check(rover_rtc_peer_new_answer(&config, sdp, &wire->peer), "answer");
    }
    check(rover_rtc_peer_description(wire->peer, sdp, sizeof sdp, NULL), "description");
    to_json(opt.offers ? "offer" : "answer", sdp, json, sizeof json);
    write_atomic(dir, opt.offers ? "offer.json" : "answer.json", json);
    if (opt.offers) {
        read_when_there(dir, "answer.json", json, sizeof json);
        from_json(json, sdp, sizeof sdp);
        check(rover_rtc_peer_accept_answer(wire->peer, sdp), "accept the answer");
    }
    bool room;
    while (!pull(wire, &room)) wait_until(wire, now() + 1);
    rover_rtc_link *home;
    check(rover_rtc_peer_home(wire->peer, &home), "link");
    check(rover_rtc_link_channel(home, "bench", &wire->bench), "channel");
}

/* Takes a message of at most `capacity` bytes; false if there is none. */
static bool take(struct wire *wire, uint8_t *data, size_t capacity, size_t *size) {
    rover_rtc_message message;
    message.struct_size = sizeof message;
    rover_rtc_status status = rover_rtc_channel_recv(wire->bench, data, capacity, &message);
    check(status == ROVER_RTC_CLOSED ? ROVER_RTC_AGAIN : status, "receive");
    *size = message.size;
    return status == ROVER_RTC_OK;
}

static void stay(struct wire *wire) {
    bool room;
    for (;;) {
        pull(wire, &room);
        wait_until(wire, now() + 60);
    }
}

/* Sends as fast as there is room, until a time has come. */
static uint64_t send_until(struct wire *wire, const uint8_t *data, double end) {
    uint64_t sent = 0;
    while (now() < end) {
        /* The clock is looked at now and then only: it would cost as much as a message. */
        for (int i = 0; i < 16; i++) {
            /* The bytes stay as they are, so nobody has to copy them. */
            rover_rtc_status status = rover_rtc_channel_send_owned(wire->bench, data, opt.size, NULL, NULL);
            check(status, "send");
            if (status == ROVER_RTC_AGAIN) {
                for (bool room = false; !room && now() < end; pull(wire, &room)) wait_until(wire, end);
                break;
            }
            sent++;
        }
    }
    return sent;
}

static void throughput(struct wire *wire, char *result, size_t capacity) {
    uint8_t *data = calloc(1, opt.size);
    double begin = now();
    uint64_t sent = send_until(wire, data, begin + WARM_UP);
    double start = now(), cpu = cpu_seconds();
    sent += send_until(wire, data, begin + WARM_UP + opt.seconds);
    snprintf(result, capacity, "\"cpu_s\":%.6f,\"window_s\":%.6f,\"sent\":%" PRIu64,
             cpu_seconds() - cpu, now() - start, sent);
    send_until(wire, data, begin + WARM_UP + opt.seconds + AFTER);
    /* The peer lasts as long as the process, so `data` has to. */
}

static void sink(struct wire *wire) {
    size_t capacity = opt.size > 65536 ? opt.size : 65536, size;
    uint8_t *data = malloc(capacity);
    bool room;
    double start = 0, end = INFINITY, cpu = 0;
    uint64_t bytes = 0, messages = 0;
    while (now() < end) {
        /* Before the first wait, too: what has come meanwhile has been told already. */
        while (take(wire, data, capacity, &size)) {
            if (start == 0) {
                start = now() + WARM_UP;
                end = start + opt.seconds;
            }
            messages++;
            bytes += size;
            if (cpu == 0 && now() >= start) {
                start = now();
                cpu = cpu_seconds();
                bytes = messages = 0;
            }
            /* As often as it may matter, not for each message. */
            if (messages % 64 == 0 && now() >= end) break;
        }
        if (now() >= end) break;
        wait_until(wire, end < INFINITY ? end : now() + 60);
        pull(wire, &room);
    }
    char result[512];
    snprintf(result, sizeof result,
             "{\"bytes\":%" PRIu64 ",\"msgs\":%" PRIu64 ",\"cpu_s\":%.6f,\"window_s\":%.6f}", bytes,
             messages, cpu_seconds() - cpu, now() - start);
    write_atomic(opt.dir, "result_answer.json", result);
    for (;;) {
        while (take(wire, data, capacity, &size)) continue;
        wait_until(wire, now() + 60);
        pull(wire, &room);
    }
}

static void collect(struct wire *wire, double *rtts, uint64_t *echoes, uint64_t total) {
    static uint8_t data[1 << 20];
    size_t size;
    while (take(wire, data, sizeof data, &size)) {
        uint64_t time;
        if (size < 16 || *echoes == total) continue;
        memcpy(&time, data + 8, 8);
        rtts[(*echoes)++] = (double)(unix_ns() - time) / 1e3;
    }
}

/* Sends message i at i / rate seconds after the first; collects echoes, if there are to be some. */
static void paced(struct wire *wire, bool echoed, char *result, size_t capacity) {
    uint64_t total = (uint64_t)(opt.seconds * opt.rate), errors = 0, echoes = 0;
    double *rtts = malloc((total + 1) * sizeof *rtts);
    size_t size = opt.size < 16 ? 16 : opt.size;
    uint8_t *data = calloc(1, size);
    bool room;
    for (double begin = now() + BEFORE_SENDING; now() < begin; pull(wire, &room)) wait_until(wire, begin);
    note(log_fd, "sending");
    double begin = now();
    for (uint64_t number = 0; number < total; number++) {
        double due = begin + (double)number / opt.rate;
        while (now() < due) {
            wait_until(wire, due);
            pull(wire, &room);
            if (echoed) collect(wire, rtts, &echoes, total);
        }
        uint64_t time = unix_ns();
        memcpy(data, &number, 8);
        memcpy(data + 8, &time, 8);
        if (rover_rtc_channel_send(wire->bench, data, size) != ROVER_RTC_OK && errors++ == 0) {
            char text[300];
            snprintf(text, sizeof text, "senderr seq %" PRIu64 " %.200s", number, rover_rtc_last_error());
            note(log_fd, text);
        }
    }
    note(log_fd, "senddone");
    double end = now() + ECHO_PATIENCE;
    while (echoed && echoes < total && now() < end) {
        wait_until(wire, end);
        pull(wire, &room);
        collect(wire, rtts, &echoes, total);
    }
    if (echoed) {
        char *lines = malloc(32 * (echoes + 1)), *line = lines;
        *lines = 0;
        for (uint64_t i = 0; i < echoes; i++) line += sprintf(line, "%.3f\n", rtts[i]);
        write_atomic(opt.dir, "rtt.txt", lines);
        free(lines);
    }
    snprintf(result, capacity,
             "\"sent\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"first_error\":\"\",\"echoed\":%" PRIu64
             ",\"cpu_s\":%.6f",
             total, errors, echoes, cpu_seconds());
    free(data);
    free(rtts);
}

/* Sends back what comes, or logs its number. */
static void answer(struct wire *wire, bool echoes) {
    static uint8_t data[1 << 20];
    char name[4096];
    bool room;
    size_t size;
    int log = echoes ? -1 : open(path(name, opt.dir, "recv.log"), O_CREAT | O_APPEND | O_WRONLY, 0644);
    for (;; wait_until(wire, now() + 60), pull(wire, &room)) {
        while (take(wire, data, sizeof data, &size)) {
            uint64_t number = 0;
            if (echoes) check(rover_rtc_channel_send(wire->bench, data, size), "echo");
            if (echoes || size < 8) continue;
            memcpy(&number, data, 8);
            snprintf(name, sizeof name, "%" PRIu64, number);
            note(log, name);
        }
    }
}

static void hold(void) {
    struct wire *wires = calloc((size_t)opt.num, sizeof *wires);
    char dir[4096], name[32];
    for (int i = 0; i < opt.num; i++) {
        snprintf(name, sizeof name, "%d", i);
        mkdir(path(dir, opt.dir, name), 0755);
        connect_wire(&wires[i], dir);
    }
    note(log_fd, "allopen");
    for (;;) pause();
}

static bool parse(int argc, char **argv) {
    if (argc < 2 || (strcmp(argv[1], "offer") && strcmp(argv[1], "answer"))) return false;
    opt.offers = strcmp(argv[1], "offer") == 0;
    for (int i = 2; i < argc; i++) {
        const char *flag = argv[i];
        if (strcmp(flag, "--unordered") == 0) {
            opt.unordered = true;
            continue;
        }
        if (++i == argc) return false;
        if (strcmp(flag, "--dir") == 0) opt.dir = argv[i];
        else if (strcmp(flag, "--mode") == 0) opt.mode = argv[i];
        else if (strcmp(flag, "--channel") == 0) opt.channel = argv[i];
        else if (strcmp(flag, "--size") == 0) opt.size = strtoull(argv[i], NULL, 10);
        else if (strcmp(flag, "--seconds") == 0) opt.seconds = atof(argv[i]);
        else if (strcmp(flag, "--rate") == 0) opt.rate = atof(argv[i]);
        else if (strcmp(flag, "--num") == 0) opt.num = atoi(argv[i]);
        else return false;
    }
    bool known = strcmp(opt.channel, "plain") == 0 || strcmp(opt.channel, "reliable") == 0;
    return opt.dir && *opt.mode && known && opt.size > 0 && opt.size <= 1 << 20 && opt.num > 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "features") == 0) return 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(HELP, stdout) < 0;
    if (!parse(argc, argv)) {
        fputs(HELP, stderr);
        return 2;
    }
    char name[4096], text[64], result[512] = "\"mode\":\"setup\"", whole[640];
    const char *log_name = opt.offers ? "state_offer.log" : "state_answer.log";
    log_fd = open(path(name, opt.dir, log_name), O_CREAT | O_APPEND | O_WRONLY, 0644);
    if (log_fd < 0) {
        perror(name);
        return 1;
    }
    snprintf(text, sizeof text, "start pid %d", (int)getpid());
    note(log_fd, text);
    if (strcmp(opt.mode, "hold") == 0) hold();
    bool bulk = strcmp(opt.mode, "throughput") == 0, echoed = strcmp(opt.mode, "latency") == 0;
    bool streams = strcmp(opt.mode, "stream") == 0;
    struct wire wire;
    double started = now();
    connect_wire(&wire, opt.dir);
    double setup_ms = (now() - started) * 1e3;
    note(log_fd, "open");
    if (!opt.offers) {
        if (bulk) sink(&wire);
        if (echoed || streams) answer(&wire, echoed);
        stay(&wire);
    }
    if (bulk) throughput(&wire, result, sizeof result);
    if (echoed || streams) paced(&wire, echoed, result, sizeof result);
    snprintf(whole, sizeof whole, "{%s,\"setup_ms\":%.3f,\"channel\":\"%s\"}", result, setup_ms, opt.channel);
    write_atomic(opt.dir, "result_offer.json", whole);
    stay(&wire);
}
