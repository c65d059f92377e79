/*
 * Telemetry from a rover to a station, in the loop that the firmware has anyhow: one epoll set with the
 * library's descriptor, a timer and signals. Nothing here knows of networks that come and go: what is
 * sent while there is none waits, and the link mends itself.
 *
 *     cargo run server                                             (a hub, on 127.0.0.1:3000)
 *     telemetry --name station                                     (prints what comes)
 *     telemetry --name rover-1 --peer station                      (sends)
 *
 * Stop the hub, or one of the two for a while, and look at the counts.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <rover_rtc.h>

static const char *const HELP =
    "telemetry --name NAME [--peer NAME] [options]\n\n"
    "  --name NAME      this side's name at the hub\n"
    "  --peer NAME      whom to send to; without it, prints what others send\n"
    "  --server URL     the hub (default http://127.0.0.1:3000)\n"
    "  --bind ADDRESS   local address to use (default: those of all interfaces)\n"
    "  --rate HZ        samples a second (default 10)\n"
    "  --seconds S      end after so long (default: never)\n"
    "  --verbose        the library's log, too\n\n"
    "examples:\n"
    "  telemetry --name station\n"
    "  telemetry --name rover-1 --peer station --rate 50\n";

static struct {
    const char *name, *peer, *server, *bind;
    double rate, seconds;
    bool verbose;
} opt = {.rate = 10};

/* Lines sent and not taken, and those that came from the one rover that calls. */
static uint64_t numbered, held_back, received, expected, missing;

static void check(rover_rtc_status status, const char *what) {
    if (status >= 0) return;
    fprintf(stderr, "telemetry: %s: %s\n", what, rover_rtc_last_error());
    exit(1);
}

static void on_log(void *user, int32_t level, const char *target, const char *text) {
    (void)user;
    fprintf(stderr, "[%d %s] %s\n", (int)level, target, text);
}

/* The newest pose is all that counts; of the log, each line does. */
static void describe_channels(rover_rtc_channel_config channels[2]) {
    for (int i = 0; i < 2; i++) check(rover_rtc_channel_config_init(&channels[i], sizeof channels[i]), "channel");
    channels[0].label = "pose";
    channels[0].mode = ROVER_RTC_MODE_LATEST;
    channels[1].label = "log";
    channels[1].mode = ROVER_RTC_MODE_RELIABLE;
}

/* A line of the log begins with its number. */
static void on_line(const uint8_t *data, size_t size) {
    char text[33] = "";
    memcpy(text, data, size < 32 ? size : 32);
    uint64_t number = strtoull(text, NULL, 10);
    received++;
    if (number > expected) missing += number - expected;
    expected = number + 1;
}

/* Takes what a channel has. */
static void read_channel(rover_rtc_channel *channel) {
    static uint8_t *data;
    static size_t capacity;
    char label[256];
    rover_rtc_message message;
    message.struct_size = sizeof message;
    check(rover_rtc_channel_label(channel, label, sizeof label, NULL), "label");
    rover_rtc_status status;
    do {
        status = rover_rtc_channel_recv(channel, data, capacity, &message);
        if (status == ROVER_RTC_OK && strcmp(label, "log") == 0) on_line(data, message.size);
        if (status == ROVER_RTC_TOO_SMALL) {
            /* It stays where it is until there is room for it. */
            capacity = message.size;
            data = realloc(data, capacity);
            if (!data) abort();
        }
    } while (status == ROVER_RTC_OK || status == ROVER_RTC_TOO_SMALL);
}

static void on_event(const rover_rtc_event *event) {
    char name[65] = "";
    if (event->link) rover_rtc_link_name(event->link, name, sizeof name, NULL);
    const char *who = *name ? name : "hub";
    switch (event->kind) {
    case ROVER_RTC_EVENT_CALLED: printf("%s calls\n", who); break;
    case ROVER_RTC_EVENT_READABLE: read_channel(event->channel); break;
    case ROVER_RTC_EVENT_PATH_SWITCH: printf("%s: carried by %s\n", who, event->text); break;
    case ROVER_RTC_EVENT_OUTAGE: printf("%s: no path lives\n", who); break;
    case ROVER_RTC_EVENT_RECOVERED: printf("%s: back after %.3f s\n", who, (double)event->value / 1e6); break;
    case ROVER_RTC_EVENT_RESUMED: printf("%s: %" PRIu64 " messages sent again\n", who, event->value); break;
    case ROVER_RTC_EVENT_PEER_RESTARTED:
        printf("%s: was restarted\n", who);
        /* Another process of the rover numbers from 0; the hub numbers nothing. */
        if (*name) expected = 0;
        break;
    case ROVER_RTC_EVENT_GAP:
        if (event->value == UINT64_MAX) printf("%s: what it had not sent will not come\n", who);
        else printf("%s: %" PRIu64 " pieces will not come\n", who, event->value);
        break;
    case ROVER_RTC_EVENT_TROUBLE: printf("%s: %s\n", who, event->text); break;
    case ROVER_RTC_EVENT_DISCONNECTED: printf("%s: gone, %s\n", who, event->text); break;
    default: break;
    }
    fflush(stdout);
}

/* A sample: a pose that may be overtaken, and a log line that may not. */
static void sample(rover_rtc_channel *pose, rover_rtc_channel *log) {
    char text[64];
    int size = snprintf(text, sizeof text, "%" PRIu64 " x=1.0 y=2.0", numbered);
    check(rover_rtc_channel_send(pose, (const uint8_t *)text, (size_t)size), "send");
    rover_rtc_status status = rover_rtc_channel_send(log, (const uint8_t *)text, (size_t)size);
    check(status, "send");
    /* The log is full after hours without a network: its oldest lines are the ones to keep. */
    if (status == ROVER_RTC_AGAIN) held_back++;
    else numbered++;
}

static bool parse(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            opt.verbose = true;
            continue;
        }
        const char *flag = argv[i++];
        if (i == argc) return false;
        if (strcmp(flag, "--name") == 0) opt.name = argv[i];
        else if (strcmp(flag, "--peer") == 0) opt.peer = argv[i];
        else if (strcmp(flag, "--server") == 0) opt.server = argv[i];
        else if (strcmp(flag, "--bind") == 0) opt.bind = argv[i];
        else if (strcmp(flag, "--rate") == 0) opt.rate = atof(argv[i]);
        else if (strcmp(flag, "--seconds") == 0) opt.seconds = atof(argv[i]);
        else return false;
    }
    return opt.name && opt.rate > 0 && opt.rate <= 10000 && opt.seconds >= 0;
}

static int timer(double first, double interval) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec when = {
        .it_value = {(time_t)first, (long)((first - (double)(time_t)first) * 1e9)},
        .it_interval = {(time_t)interval, (long)((interval - (double)(time_t)interval) * 1e9)},
    };
    timerfd_settime(fd, 0, &when, NULL);
    return fd;
}

static void watch(int set, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)) {
        perror("telemetry: epoll");
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(HELP, stdout) < 0;
    if (!parse(argc, argv)) {
        fputs(HELP, stderr);
        return 2;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    /* Before the library's thread is there, which inherits this. */
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (opt.verbose) check(rover_rtc_set_log(on_log, NULL, ROVER_RTC_LOG_INFO), "log");

    rover_rtc_channel_config channels[2];
    rover_rtc_peer_config config;
    describe_channels(channels);
    check(rover_rtc_peer_config_init(&config, sizeof config), "config");
    config.server = opt.server;
    config.name = opt.name;
    config.bind = &opt.bind;
    config.bind_count = opt.bind ? 1 : 0;
    config.channels = channels;
    config.channel_count = 2;
    rover_rtc_peer *peer;
    check(rover_rtc_peer_new(&config, &peer), "peer");

    rover_rtc_link *link = NULL;
    rover_rtc_channel *pose = NULL, *log = NULL;
    if (opt.peer) {
        /* Waits for nothing: what is sent waits until the station is there. */
        check(rover_rtc_peer_call(peer, opt.peer, &link), "call");
        check(rover_rtc_link_channel(link, "pose", &pose), "pose");
        check(rover_rtc_link_channel(link, "log", &log), "log");
    }

    int set = epoll_create1(EPOLL_CLOEXEC), fd;
    check(rover_rtc_peer_fd(peer, &fd), "fd");
    int stop = signalfd(-1, &signals, SFD_CLOEXEC), tick = timer(1 / opt.rate, 1 / opt.rate);
    int end = timer(opt.seconds, 0);
    watch(set, fd);
    watch(set, stop);
    watch(set, end);
    if (opt.peer) watch(set, tick);

    for (bool run = true; run;) {
        struct epoll_event ready;
        if (epoll_wait(set, &ready, 1, -1) < 1) continue;
        if (ready.data.fd == fd) {
            rover_rtc_event event;
            event.struct_size = sizeof event;
            while (rover_rtc_peer_next_event(peer, &event) == ROVER_RTC_OK) on_event(&event);
        } else if (ready.data.fd == tick) {
            uint64_t times;
            if (read(tick, &times, sizeof times) == sizeof times) while (times--) sample(pose, log);
        } else {
            run = false;
        }
    }

    if (link) {
        /* What is on its way gets the time to arrive. */
        bool all = rover_rtc_channel_wait_acknowledged(log, 2000) == ROVER_RTC_OK;
        rover_rtc_link_statistics statistics;
        statistics.struct_size = sizeof statistics;
        check(rover_rtc_link_stats(link, &statistics), "statistics");
        printf("%" PRIu64 " lines sent, %s, %" PRIu64 " held back; outages %" PRIu64 ", longest %.3f s\n", numbered,
               all ? "all arrived" : "not all arrived", held_back, statistics.outages,
               (double)statistics.longest_outage_us / 1e6);
    } else {
        printf("%" PRIu64 " lines received, %" PRIu64 " missing\n", received, missing);
    }
    rover_rtc_peer_free(peer);
    close(set);
    return 0;
}
