// Teleoperation: an operator drives a rover by its name, wherever both are.
//
// Three channels, each with the promise that its messages need: "drive" carries the newest wish for
// each axis (an old one is worse than none), "command" carries what must arrive, in order and before
// all else, and "telemetry" carries the newest state of the rover back. All three go on by themselves
// when the network changes; what the program sees of that are events.

#include <rover_rtc.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include <poll.h>
#include <unistd.h>

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

const char USAGE[] = R"(Drives a rover, or is one.

Usage: teleop rover|operator [options]

  --server URL    the hub (default http://127.0.0.1:3000)
  --name NAME     own name (default: the role)
  --peer NAME     whom the operator calls (default: rover)
  --bind ADDRESS  use only this local address (default: all usable ones)
  --seconds N     end after N seconds; the operator then drives in circles by itself
  --help          this text

The operator reads lines: w a s d drive (several in a line are fine), anything else is sent to the
rover as a command, such as "stop" or "lights on".

Examples, with a hub on this machine (cargo run server):
  teleop rover
  teleop operator
  teleop rover --name rover-7 --server https://hub.example.org --seconds 60
  printf 'w\nd\nstop\n' | teleop operator --peer rover-7 --server https://hub.example.org
)";

struct options {
    bool is_rover = false;
    std::string server = "http://127.0.0.1:3000";
    std::string name;
    std::string peer = "rover";
    std::string bind;
    std::optional<double> seconds;
};

constexpr auto TICK = 100ms;

volatile std::sig_atomic_t stopped = 0;

void on_signal(int) { stopped = 1; }

std::optional<options> parse(int argc, char **argv) {
    options given;
    const std::string role = argc > 1 ? argv[1] : "";
    if (role != "rover" && role != "operator") {
        return std::nullopt;
    }
    given.is_rover = role == "rover";
    given.name = role;
    for (int i = 2; i < argc; i += 2) {
        const std::string flag = argv[i];
        if (i + 1 == argc) {
            return std::nullopt;
        }
        const std::string value = argv[i + 1];
        if (flag == "--server") {
            given.server = value;
        } else if (flag == "--name") {
            given.name = value;
        } else if (flag == "--peer") {
            given.peer = value;
        } else if (flag == "--bind") {
            given.bind = value;
        } else if (flag == "--seconds") {
            char *end = nullptr;
            given.seconds = std::strtod(value.c_str(), &end);
            if (*end != '\0' || !(*given.seconds > 0 && *given.seconds < 1e6)) {
                return std::nullopt;
            }
        } else {
            return std::nullopt;
        }
    }
    return given;
}

rover_rtc::peer connect(const options &given) {
    using rover_rtc::channel_config;
    using rover_rtc::mode;
    rover_rtc::peer_config config;
    config.server(given.server).name(given.name);
    if (!given.bind.empty()) {
        config.bind(given.bind);
    }
    // A wish that could not be sent for half a second is not what the operator wants any more.
    config.channel(channel_config("drive", mode::latest).ttl(500ms));
    config.channel(channel_config("command").priority(rover_rtc::priority::high));
    config.channel(channel_config("telemetry", mode::latest).priority(rover_rtc::priority::low));
    return rover_rtc::peer::connect(config);
}

std::string with_sign(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%+.2f", value);
    return text;
}

class program {
public:
    explicit program(const options &given) : given_(given), peer_(connect(given)) {}

    void run() {
        if (!given_.is_rover) {
            attach(peer_.call(given_.peer));
        }
        const auto begin = steady::now();
        auto next_tick = begin;
        while (stopped == 0) {
            const auto now = steady::now();
            if (given_.seconds && now - begin >= std::chrono::duration<double>(*given_.seconds)) {
                break;
            }
            if (now >= next_tick) {
                const double time = std::chrono::duration<double>(now - begin).count();
                on_link([&] { tick(time); });
                // After a pause of the machine there is one tick, not all that were missed.
                next_tick = std::max(next_tick + TICK, now);
            }
            sleep_until(next_tick);
            while (const auto event = peer_.next_event()) {
                on_link([&] { handle(*event); });
            }
        }
        on_link([&] { end(); });
    }

private:
    /** Until there are events or lines; at most until `time`. A signal ends it too. */
    void sleep_until(steady::time_point time) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - steady::now());
        // poll() passes over a negative descriptor.
        pollfd set[2] = {{peer_.fd(), POLLIN, 0}, {reads_lines() ? STDIN_FILENO : -1, POLLIN, 0}};
        const int ready = ::poll(set, 2, static_cast<int>(std::max(left, 0ms).count()));
        if (ready < 0 && errno != EINTR) {
            throw std::runtime_error(std::string("poll: ") + std::strerror(errno));
        }
        if (ready > 0 && set[1].revents != 0) {
            on_link([&] { read_lines(); });
        }
    }

    /** What uses the link: it may be closed at any time, before the event that says so is taken. */
    template <class Use> void on_link(Use use) {
        try {
            use();
        } catch (const rover_rtc::error &e) {
            if (e.status() != rover_rtc::status_code::closed) {
                throw;
            }
            detach();
        }
    }

    bool reads_lines() const { return !given_.is_rover && !given_.seconds && !input_ended_; }

    void attach(rover_rtc::link link) {
        link_ = link;
        drive_ = link.channel("drive");
        command_ = link.channel("command");
        telemetry_ = link.channel("telemetry");
    }

    void detach() {
        if (!link_) {
            return;
        }
        std::printf("the link is closed\n");
        link_.let_go();
        link_ = {};
        // A rover waits for the next call; there is nothing that an operator could do.
        stopped = given_.is_rover ? stopped : 1;
    }

    void handle(const rover_rtc::event &event) {
        using rover_rtc::event_kind;
        // The link with the hub has events too; here only the one with the other side counts.
        const bool ours = link_ && event.link == link_;
        switch (event.kind) {
        case event_kind::called:
            std::printf("%s calls\n", event.link.name().c_str());
            attach(event.link);
            break;
        case event_kind::readable:
            read(event.channel);
            break;
        case event_kind::path_switch:
            if (ours) {
                std::printf("path: %s (%s), %s\n", to_string(event.path()),
                            to_string(event.cause()), event.text.c_str());
            }
            break;
        case event_kind::outage:
            if (ours) {
                std::printf("outage%s\n", given_.is_rover ? ": the motors stop" : "");
            }
            break;
        case event_kind::recovered:
            if (ours) {
                const std::chrono::duration<double, std::milli> time = event.outage();
                std::printf("recovered after %.0f ms%s\n", time.count(),
                            event.other == 1 ? ", on a new connection" : "");
            }
            break;
        case event_kind::peer_restarted:
            std::printf("the other side has been restarted\n");
            break;
        case event_kind::closed:
            if (ours) {
                detach();
            }
            break;
        case event_kind::trouble:
            std::printf("trouble: %s\n", event.text.c_str());
            break;
        default: // Among them events that only a newer library knows.
            break;
        }
    }

    void read(rover_rtc::channel channel) {
        if (channel != drive_ && channel != command_ && channel != telemetry_) {
            return; // The hub's, or that of a link before this one.
        }
        while (const auto message = channel.recv()) {
            const std::string text(message->text());
            if (channel == drive_) {
                std::printf("drive %s %s\n", message->key.c_str(), text.c_str());
            } else if (channel == command_) {
                std::printf("command %s\n", text.c_str());
            } else {
                std::printf("telemetry %s %s\n", message->key.c_str(), text.c_str());
            }
        }
    }

    /** Every TICK, at this time in seconds since the start. */
    void tick(double time) {
        if (given_.is_rover && link_) {
            const int charge = 100 - static_cast<int>(time / 60);
            telemetry_.send_keyed("battery", std::to_string(charge) + " %");
            telemetry_.send_keyed("heading", with_sign(std::remainder(time, 6.28)) + " rad");
        } else if (!given_.is_rover && link_ && given_.seconds) {
            wish("linear", 0.5);
            wish("angular", 0.5 * std::sin(time));
        }
    }

    void wish(const char *axis, double value) {
        // No room cannot be: of each axis only the newest waits.
        drive_.send_keyed(axis, with_sign(value));
    }

    void command(const std::string &text) {
        if (command_.send_text(text) == rover_rtc::sent::no_room) {
            std::printf("too many commands wait: \"%s\" is not sent\n", text.c_str());
        }
    }

    void read_lines() {
        char room[512];
        const auto count = ::read(STDIN_FILENO, room, sizeof room);
        if (count <= 0) {
            input_ended_ = true;
            stopped = 1;
            return;
        }
        input_.append(room, static_cast<std::size_t>(count));
        for (auto end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
            line(input_.substr(0, end));
            input_.erase(0, end + 1);
        }
    }

    void line(const std::string &text) {
        if (text.empty()) {
            return;
        }
        if (text.find_first_not_of("wasd") != std::string::npos) {
            return command(text);
        }
        for (const char key : text) {
            const bool turns = key == 'a' || key == 'd';
            wish(turns ? "angular" : "linear", key == 'w' || key == 'a' ? 0.5 : -0.5);
        }
    }

    /** The rover is not left driving, and what was said is given a second to arrive. */
    void end() {
        if (!given_.is_rover && link_) {
            command("stop");
            if (!command_.wait_acknowledged(1s)) {
                std::printf("the rover has not heard the last command\n");
            }
        }
        if (link_) {
            const auto counted = link_.statistics();
            std::printf("sent %llu, received %llu, %llu outages, %llu switches\n",
                        static_cast<unsigned long long>(counted.messages_sent),
                        static_cast<unsigned long long>(counted.messages_received),
                        static_cast<unsigned long long>(counted.outages),
                        static_cast<unsigned long long>(counted.switches));
        }
    }

    options given_;
    rover_rtc::peer peer_;
    rover_rtc::link link_;
    rover_rtc::channel drive_, command_, telemetry_;
    std::string input_;
    bool input_ended_ = false;
};

} // namespace

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--help") == 0) {
            std::fputs(USAGE, stdout);
            return 0;
        }
    }
    const auto given = parse(argc, argv);
    if (!given) {
        std::fputs(USAGE, stderr);
        return 2;
    }
    // Each line is seen at once, in a pipe too.
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    try {
        program(*given).run();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "teleop: %s\n", e.what());
        return 1;
    }
    return 0;
}
