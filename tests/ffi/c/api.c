/*
 * The C interface as C programs meet it, well and badly used. `api TEST` runs one test; 0 and "ok" is what
 * it should end with. All on loopback, all bounded in time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rover_rtc.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #what, rover_rtc_last_error()); \
            exit(1); \
        } \
    } while (0)
#define OK(call) CHECK((call) == ROVER_RTC_OK)

static const int PATIENCE_MS = 20000;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static rover_rtc_server *hub(char address[64]) {
    const char *udp = "127.0.0.1:0";
    rover_rtc_server_config config;
    OK(rover_rtc_server_config_init(&config, sizeof config));
    config.listen = "127.0.0.1:0";
    config.udp = &udp;
    config.udp_count = 1;
    rover_rtc_server *server;
    OK(rover_rtc_server_new(&config, &server));
    OK(rover_rtc_server_address(server, address, 64, NULL));
    return server;
}

static const char *const LOOPBACK = "127.0.0.1";

static void settings(rover_rtc_peer_config *config, rover_rtc_channel_config *channel, const char *address,
                     const char *name) {
    OK(rover_rtc_channel_config_init(channel, sizeof *channel));
    channel->label = "data";
    OK(rover_rtc_peer_config_init(config, sizeof *config));
    config->server = address;
    config->name = name;
    config->bind = &LOOPBACK;
    config->bind_count = 1;
    config->channels = channel;
    config->channel_count = 1;
}

static rover_rtc_peer *peer_of(const char *address, const char *name) {
    rover_rtc_channel_config channels[2];
    rover_rtc_peer_config config;
    settings(&config, &channels[0], address, name);
    OK(rover_rtc_channel_config_init(&channels[1], sizeof channels[1]));
    channels[1].label = "careful";
    channels[1].manual_ack = 1;
    config.channel_count = 2;
    rover_rtc_peer *peer;
    OK(rover_rtc_peer_new(&config, &peer));
    return peer;
}

/* Waits for an event of this kind; of this channel's label, if that is not NULL, on a named link. */
static rover_rtc_event expect(rover_rtc_peer *peer, int32_t kind, const char *label) {
    rover_rtc_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    double end = now() + PATIENCE_MS / 1e3;
    while (now() < end) {
        rover_rtc_status status = rover_rtc_peer_wait(peer, 1000);
        CHECK(status >= 0);
        while (rover_rtc_peer_next_event(peer, &event) == ROVER_RTC_OK) {
            char name[65] = "", of[256] = "";
            if (event.kind != kind) continue;
            if (!label) return event;
            if (event.link) OK(rover_rtc_link_name(event.link, name, sizeof name, NULL));
            OK(rover_rtc_channel_label(event.channel, of, sizeof of, NULL));
            if ((*name || !event.link) && strcmp(of, label) == 0) return event;
        }
    }
    fprintf(stderr, "no event of kind %d\n", kind);
    exit(1);
}

struct pair {
    char address[64];
    rover_rtc_server *server;
    rover_rtc_peer *one, *two;
    rover_rtc_link *link;
    rover_rtc_channel *here, *there;
};

static struct pair pair(void) {
    struct pair p;
    p.server = hub(p.address);
    p.one = peer_of(p.address, "one");
    p.two = peer_of(p.address, "two");
    OK(rover_rtc_peer_call(p.one, "two", &p.link));
    /* The name that it had first. */
    rover_rtc_link *same;
    OK(rover_rtc_peer_dial(p.one, "two", &same));
    CHECK(same == p.link);
    p.here = expect(p.one, ROVER_RTC_EVENT_CHANNEL_OPEN, "data").channel;
    expect(p.two, ROVER_RTC_EVENT_CALLED, NULL);
    p.there = expect(p.two, ROVER_RTC_EVENT_CHANNEL_OPEN, "data").channel;
    return p;
}

static void end(struct pair *p) {
    rover_rtc_peer_free(p->one);
    rover_rtc_peer_free(p->two);
    rover_rtc_server_free(p->server);
}

static size_t receive(rover_rtc_peer *peer, rover_rtc_channel *channel, uint8_t *data, size_t capacity) {
    rover_rtc_message message;
    message.struct_size = sizeof message;
    double late = now() + PATIENCE_MS / 1e3;
    while (now() < late) {
        rover_rtc_status status = rover_rtc_channel_recv(channel, data, capacity, &message);
        CHECK(status >= 0);
        if (status == ROVER_RTC_OK) return message.size;
        rover_rtc_peer_wait(peer, 100);
        rover_rtc_event event;
        event.struct_size = sizeof event;
        while (rover_rtc_peer_next_event(peer, &event) == ROVER_RTC_OK) continue;
    }
    fprintf(stderr, "no message\n");
    exit(1);
}

static bool readable(int fd) {
    struct pollfd set = {.fd = fd, .events = POLLIN};
    return poll(&set, 1, 0) == 1 && (set.revents & POLLIN);
}

/* Every function does what it is for. */
static void functions(void) {
    char text[4096];
    size_t size = 0;
    snprintf(text, sizeof text, "%d.%d.%d", ROVER_RTC_VERSION_MAJOR, ROVER_RTC_VERSION_MINOR, ROVER_RTC_VERSION_PATCH);
    CHECK(strcmp(text, rover_rtc_version()) == 0);
    for (int32_t status = ROVER_RTC_DROPPED; status <= 1; status++) {
        CHECK(strcmp(rover_rtc_status_str(status), "unknown status") != 0);
    }
    CHECK(strcmp(rover_rtc_status_str(77), "unknown status") == 0);

    struct pair p = pair();
    int fd, again;
    OK(rover_rtc_peer_fd(p.one, &fd));
    OK(rover_rtc_peer_fd(p.one, &again));
    CHECK(fd == again && fd >= 0);
    rover_rtc_event event;
    event.struct_size = sizeof event;
    while (rover_rtc_peer_next_event(p.one, &event) == ROVER_RTC_OK) continue;
    CHECK(!readable(fd));

    OK(rover_rtc_channel_send(p.there, (const uint8_t *)"binary", 6));
    OK(rover_rtc_channel_send_text(p.there, "text", 4));
    OK(rover_rtc_peer_wait(p.one, PATIENCE_MS));
    CHECK(readable(fd));
    event = expect(p.one, ROVER_RTC_EVENT_READABLE, "data");
    CHECK(event.channel == p.here);
    uint8_t data[64];
    rover_rtc_message message;
    message.struct_size = sizeof message;
    CHECK(rover_rtc_channel_recv(p.here, data, 5, &message) == ROVER_RTC_TOO_SMALL && message.size == 6);
    CHECK(readable(fd));
    CHECK(receive(p.one, p.here, data, sizeof data) == 6 && memcmp(data, "binary", 6) == 0);
    CHECK(receive(p.one, p.here, data, sizeof data) == 4 && memcmp(data, "text", 4) == 0);
    CHECK(rover_rtc_channel_recv(p.here, data, sizeof data, &message) == ROVER_RTC_AGAIN);
    while (rover_rtc_peer_next_event(p.one, &event) == ROVER_RTC_OK) continue;
    CHECK(!readable(fd));
    OK(rover_rtc_channel_wait_acknowledged(p.there, (uint32_t)PATIENCE_MS));
    OK(rover_rtc_channel_wait_stored(p.there, 0));

    double before = now();
    CHECK(rover_rtc_peer_wait_us(p.one, 300) == ROVER_RTC_AGAIN && now() - before >= 0.0003);

    int own[2];
    CHECK(pipe(own) == 0);
    CHECK(rover_rtc_peer_wait_fd(p.one, own[0], 300) == ROVER_RTC_AGAIN);
    CHECK(write(own[1], "x", 1) == 1);
    CHECK(rover_rtc_peer_wait_fd(p.one, own[0], -1) == ROVER_RTC_AGAIN);
    OK(rover_rtc_channel_send(p.there, (const uint8_t *)"both", 4));
    CHECK(read(own[0], text, 1) == 1);
    OK(rover_rtc_peer_wait_fd(p.one, own[0], -1));
    CHECK(receive(p.one, p.here, data, sizeof data) == 4);
    OK(rover_rtc_channel_wait_acknowledged(p.there, (uint32_t)PATIENCE_MS));
    CHECK(rover_rtc_peer_wait_fd(p.one, -1, 0) == ROVER_RTC_INVALID);
    close(own[0]);
    CHECK(rover_rtc_peer_wait_fd(p.one, own[0], 1000) == ROVER_RTC_INVALID);
    close(own[1]);

    rover_rtc_link *home, *found;
    OK(rover_rtc_peer_home(p.one, &home));
    OK(rover_rtc_link_name(home, text, sizeof text, &size));
    CHECK(size == 1 && *text == 0);
    OK(rover_rtc_peer_find_link(p.one, "two", &found));
    CHECK(found == p.link);
    CHECK(rover_rtc_peer_find_link(p.one, "nobody", &found) == ROVER_RTC_NOT_FOUND);
    CHECK(rover_rtc_link_name(p.link, text, 3, &size) == ROVER_RTC_TOO_SMALL && size == 4);
    char ours[128], theirs[128];
    OK(rover_rtc_peer_fingerprint(p.two, ours, sizeof ours, NULL));
    OK(rover_rtc_peer_find_link(p.one, "two", &found));
    OK(rover_rtc_link_fingerprint(found, theirs, sizeof theirs, &size));
    CHECK(strcmp(ours, theirs) == 0 && size == 96);
    CHECK(rover_rtc_link_fingerprint(home, text, sizeof text, NULL) == ROVER_RTC_NOT_FOUND);
    CHECK(rover_rtc_peer_description(p.one, text, sizeof text, NULL) == ROVER_RTC_NOT_FOUND);

    rover_rtc_channel *channel;
    OK(rover_rtc_link_channel(p.link, "data", &channel));
    CHECK(channel == p.here);
    CHECK(rover_rtc_link_channel(p.link, "none", &channel) == ROVER_RTC_NOT_FOUND);
    rover_rtc_channel_config config;
    OK(rover_rtc_channel_config_init(&config, sizeof config));
    config.label = "pose";
    config.mode = ROVER_RTC_MODE_LATEST;
    config.priority = ROVER_RTC_PRIORITY_HIGH;
    config.ttl_ms = 5000;
    OK(rover_rtc_link_open(p.link, &config, &channel));
    OK(rover_rtc_channel_send_keyed(channel, (const uint8_t *)"arm", 3, (const uint8_t *)"up", 2));
    event = expect(p.two, ROVER_RTC_EVENT_CHANNEL_OPEN, "pose");
    double late = now() + PATIENCE_MS / 1e3;
    rover_rtc_status status;
    while ((status = rover_rtc_channel_recv(event.channel, data, sizeof data, &message)) == ROVER_RTC_AGAIN) {
        CHECK(now() < late);
        usleep(1000);
    }
    CHECK(status == ROVER_RTC_OK && message.size == 2 && message.key_size == 3 && memcmp(message.key, "arm", 3) == 0);
    CHECK(rover_rtc_channel_send_keyed(p.here, (const uint8_t *)"arm", 3, data, 2) == ROVER_RTC_BAD_MESSAGE);

    rover_rtc_channel *careful;
    OK(rover_rtc_peer_find_link(p.two, "one", &found));
    OK(rover_rtc_link_channel(found, "careful", &careful));
    OK(rover_rtc_link_channel(p.link, "careful", &channel));
    OK(rover_rtc_channel_send(channel, (const uint8_t *)"x", 1));
    late = now() + PATIENCE_MS / 1e3;
    while ((status = rover_rtc_channel_recv(careful, data, sizeof data, &message)) == ROVER_RTC_AGAIN) {
        CHECK(now() < late);
        usleep(1000);
    }
    CHECK(status == ROVER_RTC_OK && message.number == 1);
    CHECK(rover_rtc_channel_wait_acknowledged(channel, 300) == ROVER_RTC_AGAIN);
    size_t messages = 9, bytes = 9, held = 9;
    OK(rover_rtc_channel_queued(channel, &messages, &bytes, &held));
    CHECK(messages == 0 && bytes == 0 && held == 1);
    CHECK(rover_rtc_channel_ack(careful, 2) == ROVER_RTC_NOT_FOUND);
    OK(rover_rtc_channel_ack(careful, message.number));
    CHECK(rover_rtc_channel_ack(careful, message.number) == ROVER_RTC_NOT_FOUND);
    OK(rover_rtc_channel_wait_acknowledged(channel, (uint32_t)PATIENCE_MS));

    rover_rtc_link_statistics link;
    link.struct_size = sizeof link;
    OK(rover_rtc_link_stats(p.link, &link));
    CHECK(link.health == ROVER_RTC_HEALTH_UP && link.path == ROVER_RTC_PATH_DIRECT && link.paths_alive >= 1);
    CHECK(link.rtt_us < 1000000 && link.transports == 1 && link.outages == 0 && link.bytes_sent > 0);
    rover_rtc_path_statistics paths[4];
    size_t count = 4;
    paths[0].struct_size = sizeof paths[0];
    OK(rover_rtc_link_paths(p.link, paths, &count));
    CHECK(count >= 1 && strncmp(paths[0].local, "127.0.0.1:", 10) == 0);
    rover_rtc_channel_statistics counted;
    counted.struct_size = sizeof counted;
    OK(rover_rtc_channel_stats(p.there, &counted));
    CHECK(counted.mode == ROVER_RTC_MODE_RELIABLE && counted.sent == 3 && counted.acknowledged == 3);

    size_t clients = 0, connected = 0;
    OK(rover_rtc_server_count(p.server, &clients, &connected));
    CHECK(clients == 2 && connected == 2);
    CHECK(rover_rtc_server_status(p.server, text, 4, &size) == ROVER_RTC_TOO_SMALL && size > 100);
    OK(rover_rtc_server_status(p.server, text, sizeof text, &size));
    CHECK(strstr(text, "\"one\"") && strstr(text, "\"two\""));

    OK(rover_rtc_link_close(p.link));
    expect(p.one, ROVER_RTC_EVENT_CLOSED, NULL);
    CHECK(expect(p.two, ROVER_RTC_EVENT_DISCONNECTED, NULL).value == ROVER_RTC_DISCONNECT_BYE);
    expect(p.two, ROVER_RTC_EVENT_CLOSED, NULL);
    rover_rtc_link_free(p.link);
    CHECK(rover_rtc_link_name(p.link, text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_channel_send(p.here, data, 1) == ROVER_RTC_BAD_HANDLE);
    rover_rtc_link_free(home);
    OK(rover_rtc_link_name(home, text, sizeof text, NULL));
    OK(rover_rtc_peer_close(p.one));
    expect(p.one, ROVER_RTC_EVENT_CLOSED, NULL);
    end(&p);
}

/* Two peers without a hub; the program carries offer and answer. */
static void carried(void) {
    static char offer[65536], answer[65536];
    rover_rtc_channel_config channel;
    rover_rtc_peer_config config;
    settings(&config, &channel, NULL, NULL);
    rover_rtc_peer *one, *two;
    OK(rover_rtc_peer_new_offer(&config, &one));
    OK(rover_rtc_peer_description(one, offer, sizeof offer, NULL));
    CHECK(rover_rtc_peer_new_answer(&config, "no offer", &two) == ROVER_RTC_SDP);
    OK(rover_rtc_peer_new_answer(&config, offer, &two));
    OK(rover_rtc_peer_description(two, answer, sizeof answer, NULL));
    CHECK(rover_rtc_peer_accept_answer(one, "no answer") == ROVER_RTC_SDP);
    OK(rover_rtc_peer_accept_answer(one, answer));
    rover_rtc_channel *here = expect(one, ROVER_RTC_EVENT_CHANNEL_OPEN, NULL).channel;
    rover_rtc_channel *there = expect(two, ROVER_RTC_EVENT_CHANNEL_OPEN, NULL).channel;
    static uint8_t large[1 << 20], back[1 << 20];
    for (size_t i = 0; i < sizeof large; i++) large[i] = (uint8_t)(i * 31 + i / 256);
    OK(rover_rtc_channel_send(here, large, sizeof large));
    CHECK(receive(two, there, back, sizeof back) == sizeof large && memcmp(large, back, sizeof large) == 0);
    rover_rtc_peer_free(one);
    CHECK(expect(two, ROVER_RTC_EVENT_DISCONNECTED, NULL).value == ROVER_RTC_DISCONNECT_CLOSED);
    rover_rtc_peer_free(two);
}

/* NULL, nonsense, and handles that are none. */
static void misuse(void) {
    char text[64], address[64];
    uint8_t data[8] = {0};
    size_t count = 1;
    int fd;
    rover_rtc_message message = {.struct_size = sizeof message};
    rover_rtc_event event = {.struct_size = sizeof event};
    rover_rtc_peer_config config;
    rover_rtc_channel_config channel;
    rover_rtc_server_config server_config;
    rover_rtc_peer *peer = NULL;
    rover_rtc_link *link = NULL;
    rover_rtc_channel *opened = NULL;
    rover_rtc_server *server = NULL;
    CHECK(rover_rtc_peer_config_init(NULL, 8) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_peer_config_init(&config, 8) == ROVER_RTC_INVALID);
    CHECK(strstr(rover_rtc_last_error(), "sizeof"));
    CHECK(rover_rtc_channel_config_init(NULL, sizeof channel) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_server_config_init(NULL, sizeof server_config) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_peer_new(NULL, &peer) == ROVER_RTC_INVALID);
    memset(&config, 0, sizeof config);
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID);
    settings(&config, &channel, "127.0.0.1:9", "misused");
    CHECK(rover_rtc_peer_new(&config, NULL) == ROVER_RTC_INVALID);
    channel.label = NULL;
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "label"));
    channel.label = "data";
    channel.mode = 99;
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "99"));
    channel.mode = ROVER_RTC_MODE_DURABLE;
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_NOT_STORED && strstr(rover_rtc_last_error(), "state"));
    channel.mode = ROVER_RTC_MODE_RELIABLE;
    rover_rtc_channel_config twice[2] = {channel, channel};
    config.channels = twice;
    config.channel_count = 2;
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "two channels"));
    config.channels = &channel;
    config.channel_count = 1;
    config.name = "\xff\xfe";
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "UTF-8"));
    config.name = "two words";
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "white space"));
    config.name = "misused";
    config.server = "::nonsense::";
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_SERVER);
    config.server = "127.0.0.1:9";
    const char *nowhere = "300.0.0.1";
    config.bind = &nowhere;
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "300"));
    config.bind = NULL;
    CHECK(rover_rtc_peer_new(&config, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "bind"));
    CHECK(peer == NULL);
    /* Of a program that is newer than the library: what it does not set is not asked for. */
    struct {
        rover_rtc_peer_config known;
        uint64_t unknown;
    } newer;
    memset(&newer, 0, sizeof newer);
    OK(rover_rtc_peer_config_init(&newer.known, sizeof newer));
    newer.known.server = "127.0.0.1:9";
    newer.unknown = 1;
    CHECK(rover_rtc_peer_new(&newer.known, &peer) == ROVER_RTC_INVALID && strstr(rover_rtc_last_error(), "old"));
    newer.unknown = 0;
    OK(rover_rtc_peer_new(&newer.known, &peer));

    OK(rover_rtc_peer_home(peer, &link));
    void *bad[] = {NULL, (void *)1, (void *)(uintptr_t)0x7fff12345678u, (void *)link, &config,
                   (void *)((uintptr_t)peer ^ 7)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rover_rtc_peer *p = bad[i];
        CHECK(rover_rtc_peer_close(p) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_wait(p, 0) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_wait_us(p, 0) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_wait_fd(p, 0, 0) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_next_event(p, &event) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_fd(p, &fd) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_home(p, &link) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_call(p, "x", &link) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_dial(p, "x", &link) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_find_link(p, "x", &link) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_fingerprint(p, text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_description(p, text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_accept_answer(p, "x") == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_peer_set_wake(p, NULL, NULL) == ROVER_RTC_BAD_HANDLE);
        rover_rtc_peer_free(p);
        rover_rtc_server_free(bad[i]);
        rover_rtc_channel *c = bad[i];
        CHECK(rover_rtc_channel_send(c, data, 1) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_send_text(c, "x", 1) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_send_keyed(c, data, 1, data, 1) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_recv(c, data, sizeof data, &message) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_ack(c, 1) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_wait_stored(c, 0) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_wait_acknowledged(c, 0) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_label(c, text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_channel_queued(c, NULL, NULL, NULL) == ROVER_RTC_BAD_HANDLE);
        rover_rtc_channel_statistics counted = {.struct_size = sizeof counted};
        CHECK(rover_rtc_channel_stats(c, &counted) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_server_count(bad[i], NULL, NULL) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_server_address(bad[i], text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
        CHECK(rover_rtc_server_status(bad[i], text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
    }
    rover_rtc_link *no_link = (rover_rtc_link *)peer;
    rover_rtc_link_statistics statistics = {.struct_size = sizeof statistics};
    rover_rtc_path_statistics paths = {.struct_size = sizeof paths};
    CHECK(rover_rtc_link_close(no_link) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_link_name(no_link, text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_link_fingerprint(no_link, text, sizeof text, NULL) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_link_channel(no_link, "x", &opened) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_link_open(no_link, &channel, &opened) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_link_stats(no_link, &statistics) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_link_paths(no_link, &paths, &count) == ROVER_RTC_BAD_HANDLE);
    rover_rtc_link_free(no_link);
    rover_rtc_link_free(NULL);

    CHECK(rover_rtc_peer_next_event(peer, NULL) == ROVER_RTC_INVALID);
    event.struct_size = 4;
    CHECK(rover_rtc_peer_next_event(peer, &event) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_peer_fd(peer, NULL) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_peer_home(peer, NULL) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_peer_call(peer, NULL, &link) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_peer_call(peer, "x", &link) == ROVER_RTC_DIAL);
    CHECK(rover_rtc_peer_dial(peer, NULL, &link) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_peer_dial(peer, "x", &link) == ROVER_RTC_DIAL);
    OK(rover_rtc_peer_home(peer, &link));
    CHECK(rover_rtc_link_stats(link, NULL) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_link_paths(link, NULL, NULL) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_link_open(link, NULL, &opened) == ROVER_RTC_INVALID);
    channel.label = "rover-rtc/x";
    CHECK(rover_rtc_link_open(link, &channel, &opened) == ROVER_RTC_INVALID);
    channel.label = "data";
    OK(rover_rtc_link_open(link, &channel, &opened));
    CHECK(rover_rtc_link_open(link, &channel, NULL) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_channel_send(opened, NULL, 1) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_channel_send(opened, data, SIZE_MAX) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_channel_send_text(opened, "\xff", 1) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_channel_recv(opened, NULL, 1, &message) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_channel_recv(opened, data, 1, NULL) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_channel_recv(opened, NULL, 0, &message) == ROVER_RTC_AGAIN);
    CHECK(rover_rtc_set_log(NULL, NULL, 0) == ROVER_RTC_OK);
    settings(&config, &channel, "127.0.0.1:9", NULL);
    channel.when_full = ROVER_RTC_WHEN_FULL_REFUSE;
    channel.outbox_messages = 1;
    channel.max_message = 4;
    channel.label = "small";
    OK(rover_rtc_link_open(link, &channel, &opened));
    CHECK(rover_rtc_channel_send(opened, data, 5) == ROVER_RTC_TOO_LARGE);
    OK(rover_rtc_channel_send(opened, data, 4));
    CHECK(rover_rtc_channel_send(opened, data, 4) == ROVER_RTC_FULL);
    channel.when_full = ROVER_RTC_WHEN_FULL_WAIT;
    channel.label = "waits";
    OK(rover_rtc_link_open(link, &channel, &opened));
    OK(rover_rtc_channel_send(opened, data, 4));
    CHECK(rover_rtc_channel_send(opened, data, 4) == ROVER_RTC_AGAIN);
    rover_rtc_peer_free(peer);
    rover_rtc_peer_free(peer);
    CHECK(rover_rtc_peer_close(peer) == ROVER_RTC_BAD_HANDLE);
    CHECK(rover_rtc_channel_send(opened, data, 4) == ROVER_RTC_BAD_HANDLE);

    server = hub(address);
    OK(rover_rtc_server_config_init(&server_config, sizeof server_config));
    server_config.listen = address;
    rover_rtc_server *second = NULL;
    CHECK(rover_rtc_server_new(&server_config, &second) == ROVER_RTC_SERVER && second == NULL);
    CHECK(rover_rtc_server_new(&server_config, NULL) == ROVER_RTC_INVALID);
    server_config.listen = "nonsense";
    CHECK(rover_rtc_server_new(&server_config, &second) == ROVER_RTC_INVALID);
    rover_rtc_server_free(server);
    rover_rtc_server_free(server);
    CHECK(rover_rtc_server_count(server, NULL, NULL) == ROVER_RTC_BAD_HANDLE);
}

static void released(void *count) {
    CHECK(rover_rtc_channel_send(NULL, NULL, 0) == ROVER_RTC_IN_CALLBACK);
    atomic_fetch_add((atomic_int *)count, 1);
}

/* Bytes that are handed over are given back: once, if they were taken, and not before they arrived. */
static void owned(void) {
    static uint8_t data[300000];
    atomic_int count = 0;
    struct pair p = pair();
    memset(data, 7, sizeof data);
    CHECK(rover_rtc_channel_send_owned(p.there, data, (size_t)1 << 40, released, &count) < 0);
    CHECK(rover_rtc_channel_send_owned(p.there, NULL, 1, released, &count) == ROVER_RTC_INVALID);
    CHECK(rover_rtc_channel_send_owned(NULL, data, 1, released, &count) == ROVER_RTC_BAD_HANDLE);
    CHECK(atomic_load(&count) == 0);
    for (size_t size = 0; size <= sizeof data; size += 100000) {
        static uint8_t copy[sizeof data];
        OK(rover_rtc_channel_send_owned(p.there, data, size, released, &count));
        CHECK(receive(p.one, p.here, copy, sizeof copy) == size && memcmp(copy, data, size) == 0);
    }
    OK(rover_rtc_channel_send_owned(p.there, data, 100, NULL, NULL));
    OK(rover_rtc_channel_wait_acknowledged(p.there, (uint32_t)PATIENCE_MS));
    for (double late = now() + PATIENCE_MS / 1e3; atomic_load(&count) < 4; usleep(1000)) CHECK(now() < late);
    /* What nobody has read is given back when the peer ends. */
    rover_rtc_status status;
    while ((status = rover_rtc_channel_send_owned(p.there, data, 50000, released, &count)) == ROVER_RTC_OK) continue;
    int taken = atomic_load(&count);
    CHECK(status == ROVER_RTC_AGAIN);
    rover_rtc_peer_free(p.two);
    CHECK(atomic_load(&count) > taken && atomic_load(&count) < 10000);
    taken = atomic_load(&count);
    usleep(20000);
    CHECK(atomic_load(&count) == taken);
    rover_rtc_peer_free(p.one);
    rover_rtc_server_free(p.server);
}

/* What the other side does not take is told, and is not said to be acknowledged. */
static void dropped(void) {
    static uint8_t data[5000];
    struct pair p;
    p.server = hub(p.address);
    p.one = peer_of(p.address, "one");
    OK(rover_rtc_peer_dial(p.one, "two", &p.link));
    OK(rover_rtc_link_channel(p.link, "data", &p.here));
    OK(rover_rtc_channel_send(p.here, data, sizeof data));
    rover_rtc_channel_config channel;
    rover_rtc_peer_config config;
    settings(&config, &channel, p.address, "two");
    config.max_message = 1000;
    OK(rover_rtc_peer_new(&config, &p.two));
    rover_rtc_event event = expect(p.one, ROVER_RTC_EVENT_DROPPED, "data");
    CHECK(event.channel == p.here && event.value == 1 && strstr(event.text, "1000 bytes"));
    CHECK(rover_rtc_channel_wait_acknowledged(p.here, (uint32_t)PATIENCE_MS) == ROVER_RTC_DROPPED);
    CHECK(rover_rtc_channel_wait_acknowledged(p.here, 0) == ROVER_RTC_DROPPED);
    CHECK(rover_rtc_channel_send(p.here, data, sizeof data) == ROVER_RTC_TOO_LARGE);
    OK(rover_rtc_channel_send(p.here, data, 1000));
    OK(rover_rtc_channel_wait_acknowledged(p.here, (uint32_t)PATIENCE_MS));
    rover_rtc_channel_statistics counted;
    counted.struct_size = sizeof counted;
    OK(rover_rtc_channel_stats(p.here, &counted));
    CHECK(counted.dropped_too_large == 1 && counted.acknowledged == 1);
    expect(p.two, ROVER_RTC_EVENT_GAP, "data");
    end(&p);
}

static void *connects(void *unused) {
    struct pair p = pair();
    uint8_t data[64];
    for (int i = 0; i < 100; i++) {
        OK(rover_rtc_channel_send(p.there, (const uint8_t *)"echo", 4));
        CHECK(receive(p.one, p.here, data, sizeof data) == 4);
        OK(rover_rtc_channel_send(p.here, data, 4));
        CHECK(receive(p.two, p.there, data, sizeof data) == 4);
    }
    end(&p);
    return unused;
}

/* The library works on the thread that waits: what is documented of its stack is enough. */
static void small_stack(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, connects, NULL) == 0 && pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&attributes);
}

static void *waits(void *peer) {
    rover_rtc_event event = {.struct_size = sizeof event};
    rover_rtc_status status;
    while ((status = rover_rtc_peer_wait(peer, -1)) == ROVER_RTC_OK) {
        while (rover_rtc_peer_next_event(peer, &event) == ROVER_RTC_OK) continue;
    }
    CHECK(status == ROVER_RTC_CLOSED || status == ROVER_RTC_BAD_HANDLE);
    return NULL;
}

/* Freed while another thread waits. */
static void free_while_waiting(void) {
    for (int round = 0; round < 20; round++) {
        rover_rtc_peer *peer = peer_of("127.0.0.1:9", NULL);
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, waits, peer) == 0);
        usleep((useconds_t)(round * 500));
        rover_rtc_peer_free(peer);
        for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static rover_rtc_peer *_Atomic logged;
static atomic_int lines, refused;

static void on_log(void *user, int32_t level, const char *target, const char *text) {
    CHECK(user == &lines && level >= 1 && level <= 5 && *target && text);
    atomic_fetch_add(&lines, 1);
    rover_rtc_peer *peer = atomic_load(&logged);
    if (!peer) return;
    if (rover_rtc_peer_close(peer) == ROVER_RTC_IN_CALLBACK) atomic_fetch_add(&refused, 1);
    CHECK(strcmp(rover_rtc_status_str(ROVER_RTC_OK), "done") == 0 && rover_rtc_version());
    atomic_store(&logged, NULL);
    rover_rtc_peer_free(peer);
}

/* Freed from the log callback. */
static void free_from_log(void) {
    char address[64];
    rover_rtc_server *server = hub(address);
    OK(rover_rtc_set_log(on_log, &lines, ROVER_RTC_LOG_TRACE));
    for (int round = 0; round < 10; round++) {
        rover_rtc_peer *peer = peer_of(address, "logged");
        atomic_store(&logged, peer);
        double late = now() + PATIENCE_MS / 1e3;
        while (rover_rtc_peer_wait(peer, 10) >= 0) CHECK(now() < late);
    }
    CHECK(atomic_load(&refused) == 10 && atomic_load(&lines) > 10);
    OK(rover_rtc_set_log(NULL, NULL, 0));
    rover_rtc_server_free(server);
    /* What the callback has freed ends in the background. */
    usleep(500000);
    int before = atomic_load(&lines);
    rover_rtc_peer_free(peer_of("127.0.0.1:9", NULL));
    CHECK(atomic_load(&lines) == before);
}

static void on_wake(void *user) {
    CHECK(rover_rtc_peer_wait(NULL, 0) == ROVER_RTC_IN_CALLBACK);
    atomic_fetch_add((atomic_int *)user, 1);
}

/* The wake hook tells of messages. */
static void wake(void) {
    struct pair p = pair();
    atomic_int woken = 0;
    OK(rover_rtc_peer_set_wake(p.two, on_wake, &woken));
    rover_rtc_event event = {.struct_size = sizeof event};
    while (rover_rtc_peer_next_event(p.two, &event) == ROVER_RTC_OK) continue;
    uint8_t data[8];
    for (int i = 0; i < 100; i++) {
        int before = atomic_load(&woken);
        OK(rover_rtc_channel_send(p.here, (const uint8_t *)"x", 1));
        double late = now() + PATIENCE_MS / 1e3;
        while (atomic_load(&woken) == before) {
            CHECK(now() < late);
            usleep(100);
        }
        CHECK(receive(p.two, p.there, data, sizeof data) == 1);
        while (rover_rtc_peer_next_event(p.two, &event) == ROVER_RTC_OK) continue;
    }
    OK(rover_rtc_peer_set_wake(p.two, NULL, NULL));
    end(&p);
}

static struct pair shared;
static atomic_uint sent, got;

static void *uses(void *argument) {
    uintptr_t number = (uintptr_t)argument;
    uint8_t data[64] = {0};
    rover_rtc_message message = {.struct_size = sizeof message};
    rover_rtc_event event = {.struct_size = sizeof event};
    rover_rtc_link_statistics statistics = {.struct_size = sizeof statistics};
    for (int i = 0; i < 5000; i++) {
        rover_rtc_status status = rover_rtc_channel_send(shared.here, data, sizeof data);
        CHECK(status >= 0);
        if (status == ROVER_RTC_OK) atomic_fetch_add(&sent, 1);
        else rover_rtc_peer_wait(shared.one, 1);
        while (rover_rtc_channel_recv(shared.there, data, sizeof data, &message) == ROVER_RTC_OK) {
            CHECK(message.size == sizeof data);
            atomic_fetch_add(&got, 1);
        }
        CHECK(rover_rtc_peer_next_event(number % 2 ? shared.one : shared.two, &event) >= 0);
        if (i % 500 == 0) OK(rover_rtc_link_stats(shared.link, &statistics));
    }
    return NULL;
}

/* Eight threads use the same handles. */
static void threads(void) {
    shared = pair();
    pthread_t all[8];
    for (uintptr_t i = 0; i < 8; i++) CHECK(pthread_create(&all[i], NULL, uses, (void *)i) == 0);
    for (int i = 0; i < 8; i++) CHECK(pthread_join(all[i], NULL) == 0);
    double late = now() + PATIENCE_MS / 1e3;
    uint8_t data[64];
    rover_rtc_message message = {.struct_size = sizeof message};
    while (atomic_load(&got) < atomic_load(&sent)) {
        CHECK(now() < late);
        rover_rtc_status status = rover_rtc_channel_recv(shared.there, data, sizeof data, &message);
        CHECK(status >= 0);
        if (status == ROVER_RTC_OK) atomic_fetch_add(&got, 1);
        else usleep(1000);
    }
    CHECK(atomic_load(&got) == atomic_load(&sent) && atomic_load(&sent) > 0);
    end(&shared);
}

static long resident_kib(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long total, pages;
    CHECK(file && fscanf(file, "%ld %ld", &total, &pages) == 2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int count_of(const char *directory) {
    char command[64];
    int count;
    snprintf(command, sizeof command, "ls /proc/%d/%s | wc -l", (int)getpid(), directory);
    FILE *pipe = popen(command, "r");
    CHECK(pipe && fscanf(pipe, "%d", &count) == 1);
    pclose(pipe);
    return count;
}

/* A thousand peers come and go; neither memory nor descriptors nor threads grow. */
static void rounds(int number) {
    long after_first = 0;
    int descriptors = 0, tasks = 0;
    for (int round = 0; round < number; round++) {
        rover_rtc_channel_config channel;
        rover_rtc_peer_config config;
        settings(&config, &channel, "127.0.0.1:9", round % 2 ? "round" : NULL);
        rover_rtc_peer *peer;
        int fd;
        OK(rover_rtc_peer_new(&config, &peer));
        OK(rover_rtc_peer_fd(peer, &fd));
        rover_rtc_link *home;
        rover_rtc_channel *data;
        OK(rover_rtc_peer_home(peer, &home));
        OK(rover_rtc_link_channel(home, "data", &data));
        OK(rover_rtc_channel_send(data, (const uint8_t *)"x", 1));
        rover_rtc_peer_free(peer);
        if (round == number / 5) {
            after_first = resident_kib();
            descriptors = count_of("fd");
            tasks = count_of("task");
        }
    }
    CHECK(count_of("fd") == descriptors && count_of("task") == tasks);
    long grown = resident_kib() - after_first;
    printf("%d rounds: %ld KiB more after the last than after a fifth\n", number, grown);
    CHECK(grown < 4096);
}

int main(int argc, char **argv) {
    const char *test = argc > 1 ? argv[1] : "";
    if (strcmp(test, "functions") == 0) functions();
    else if (strcmp(test, "carried") == 0) carried();
    else if (strcmp(test, "misuse") == 0) misuse();
    else if (strcmp(test, "free_while_waiting") == 0) free_while_waiting();
    else if (strcmp(test, "free_from_log") == 0) free_from_log();
    else if (strcmp(test, "wake") == 0) wake();
    else if (strcmp(test, "threads") == 0) threads();
    else if (strcmp(test, "owned") == 0) owned();
    else if (strcmp(test, "dropped") == 0) dropped();
    else if (strcmp(test, "small_stack") == 0) small_stack();
    else if (strcmp(test, "rounds") == 0) rounds(argc > 2 ? atoi(argv[2]) : 1000);
    else return fprintf(stderr, "api TEST\n"), 2;
    puts("ok");
    return 0;
}
