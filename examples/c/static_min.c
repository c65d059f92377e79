/*
 * The smallest useful rover, in one file without other libraries: starts a peer of a hub, sends a
 * line on the channel "test", and prints what the hub's other peers send there.
 *
 *     cargo run server                                       (in another terminal)
 *     static_min 127.0.0.1:3000 --seconds 5
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rover_rtc.h>

/* The largest message of a plain channel. */
static uint8_t buffer[256 * 1024];

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, rover_rtc_last_error());
    return 1;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Prints all messages that are there. */
static void receive(rover_rtc_channel *channel) {
    rover_rtc_message message = {.struct_size = sizeof message};
    while (rover_rtc_channel_recv(channel, buffer, sizeof buffer, &message) == ROVER_RTC_OK) {
        printf("%.*s\n", (int)message.size, (const char *)buffer);
    }
    fflush(stdout);
}

static int run(rover_rtc_peer *peer, const char *line, long seconds) {
    rover_rtc_link *home;
    rover_rtc_channel *test;
    if (rover_rtc_peer_home(peer, &home) != ROVER_RTC_OK ||
        rover_rtc_link_channel(home, "test", &test) != ROVER_RTC_OK) {
        return failed("the channel");
    }
    /* Without a connection yet it waits for one. */
    if (rover_rtc_channel_send_text(test, line, strlen(line)) != ROVER_RTC_OK) {
        return failed("sending");
    }
    int64_t end = now_ms() + (int64_t)seconds * 1000;
    for (int64_t left = end - now_ms(); left > 0; left = end - now_ms()) {
        rover_rtc_status status = rover_rtc_peer_wait(peer, (int32_t)left);
        if (status < 0) {
            return failed("waiting");
        }
        rover_rtc_event event = {.struct_size = sizeof event};
        while (rover_rtc_peer_next_event(peer, &event) == ROVER_RTC_OK) {
            if (event.kind == ROVER_RTC_EVENT_READABLE) {
                receive(event.channel);
            } else if (event.kind == ROVER_RTC_EVENT_TROUBLE) {
                fprintf(stderr, "%s\n", event.text);
            }
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    long seconds = 5;
    const char *line = "hello from C";
    const char *hub = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            printf("Sends a hub one line and prints what comes; rover-rtc %s.\n\n"
                   "usage: static_min HUB [--line TEXT] [--seconds N]\n\n"
                   "  HUB           host:port or URL\n"
                   "  --line TEXT   what is sent [%s]\n"
                   "  --seconds N   how long it listens [%ld]\n\n"
                   "example: static_min 127.0.0.1:3000 --line hello --seconds 10\n",
                   rover_rtc_version(), line, seconds);
            return 0;
        }
        if (strcmp(argv[i], "--line") == 0 && i + 1 < argc) {
            line = argv[++i];
        } else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            char *rest;
            seconds = strtol(argv[++i], &rest, 10);
            if (*rest != '\0' || seconds < 1 || seconds > 86400) {
                fprintf(stderr, "--seconds is a number from 1 to 86400, not %s\n", argv[i]);
                return 2;
            }
        } else if (hub == NULL && argv[i][0] != '-') {
            hub = argv[i];
        } else {
            fprintf(stderr, "%s is not understood; see --help\n", argv[i]);
            return 2;
        }
    }
    if (hub == NULL) {
        fprintf(stderr, "which hub? see --help\n");
        return 2;
    }

    rover_rtc_peer_config config;
    rover_rtc_peer *peer;
    if (rover_rtc_peer_config_init(&config, sizeof config) != ROVER_RTC_OK) {
        return failed("the settings");
    }
    config.server = hub;
    if (rover_rtc_peer_new(&config, &peer) != ROVER_RTC_OK) {
        return failed("the peer");
    }
    int code = run(peer, line, seconds);
    rover_rtc_peer_free(peer);
    return code;
}
