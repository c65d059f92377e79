// The C++ wrapper as C++ programs meet it, with exceptions and without. Prints "ok" and returns 0
// if all is well. Everything stays on 127.0.0.1 and is bounded by time.

#include <rover_rtc.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_set>
#include <utility>

#ifndef _WIN32
#include <poll.h>
#endif

using namespace std::chrono_literals;
namespace rtc = rover_rtc;

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            std::exit(1);                                                                         \
        }                                                                                         \
    } while (false)

namespace {

constexpr int MESSAGES = 1000;
constexpr auto PATIENCE = 30s;

// Status with which a call fails, and its text; ok if it does not fail.
template <class Call> rtc::status_code status_of(Call call, std::string *text = nullptr) {
#if ROVER_RTC_EXCEPTIONS
    try {
        call();
        return rtc::status_code::ok;
    } catch (const rtc::error &e) {
        if (text != nullptr) {
            *text = e.what();
        }
        return e.status();
    }
#else
    const auto told = call();
    if (text != nullptr) {
        *text = told.text();
    }
    CHECK(told.has_value() == (told.status() == rtc::status_code::ok));
    return told.status();
#endif
}

// The value of a call that must not fail.
#if ROVER_RTC_EXCEPTIONS
template <class T> T take(T value) { return value; }
#define DONE(call) (call)
#else
template <class T> T take(rtc::result<T> made) {
    if (!made) {
        std::fprintf(stderr, "failed: %s\n", made.text().c_str());
    }
    CHECK(made);
    return std::move(made).value();
}
#define DONE(call) CHECK((call).has_value())
#endif

using clock_type = std::chrono::steady_clock;

// What a log function refers to has to outlive it.
std::atomic<int> log_lines{0};
std::atomic<int> log_refusals{0};

rtc::peer_config settings(const std::string &address, const std::string &name) {
    rtc::peer_config config;
    config.server("http://" + address).name(name).bind("127.0.0.1");
    config.channel(rtc::channel_config("mission").priority(rtc::priority::high));
    config.channel(rtc::channel_config("pose", rtc::mode::latest).ttl(10s));
    return config;
}

// Takes events until there is none or `seen` is satisfied with one.
template <class Seen> bool drain(rtc::peer &peer, Seen seen) {
    while (auto event = take(peer.next_event())) {
        if (seen(*event)) {
            return true;
        }
    }
    return false;
}

template <class Seen> void await(rtc::peer &peer, Seen seen) {
    const auto end = clock_type::now() + PATIENCE;
    while (!drain(peer, seen)) {
        CHECK(clock_type::now() < end);
        (void)take(peer.wait(100ms));
    }
}

// Sends numbers on one side, and takes them in order on the other.
void stream(rtc::peer &from, rtc::channel out, rtc::channel in) {
    const auto end = clock_type::now() + PATIENCE;
    std::array<std::uint8_t, 64> buffer{};
    rtc::message_info info;
    int next = 0;
    std::uint64_t number = 0;
    for (int taken = 0; taken < MESSAGES;) {
        CHECK(clock_type::now() < end);
        while (next < MESSAGES &&
               take(out.send("number " + std::to_string(next))) == rtc::sent::queued) {
            next++;
        }
        while (take(in.recv(buffer, info))) {
            const std::string expected = "number " + std::to_string(taken);
            CHECK(info.size() == expected.size() && !info.is_text());
            CHECK(std::string(buffer.begin(), buffer.begin() + expected.size()) == expected);
            CHECK(taken == 0 || info.number() > number);
            number = info.number();
            taken++;
        }
        drain(from, [](const rtc::event &) { return false; });
        std::this_thread::sleep_for(1ms);
    }
    CHECK(take(out.wait_acknowledged(10s)));
    CHECK(take(out.wait_stored(1s)));
    const rtc::queue_sizes queued = take(out.queued());
    CHECK(queued.messages == 0 && queued.bytes == 0 && queued.unacknowledged == 0);
}

std::optional<rtc::message> recv_soon(rtc::channel channel) {
    const auto end = clock_type::now() + PATIENCE;
    while (clock_type::now() < end) {
        if (auto message = take(channel.recv())) {
            return message;
        }
        std::this_thread::sleep_for(1ms);
    }
    return std::nullopt;
}

void messages(rtc::channel out, rtc::channel in) {
    // All that can be seen as bytes.
    CHECK(take(out.send(std::string_view("view"))) == rtc::sent::queued);
    CHECK(take(out.send(std::vector<std::uint8_t>{1, 2, 3})) == rtc::sent::queued);
    CHECK(take(out.send(std::array<std::uint8_t, 2>{4, 5})) == rtc::sent::queued);
    CHECK(take(out.send({})) == rtc::sent::queued);
    CHECK(take(out.send_text("text")) == rtc::sent::queued);
    const std::vector<std::uint8_t> large(100000, 7);
    CHECK(take(out.send(large)) == rtc::sent::queued);
    std::vector<std::uint8_t> given(50000, 9);
    CHECK(take(out.send_owned(std::move(given))) == rtc::sent::queued);
    std::vector<std::uint8_t> refused(20'000'000, 9);
    CHECK(status_of([&] { return out.send_owned(std::move(refused)); }) ==
          rtc::status_code::too_large);
    CHECK(refused.size() == 20'000'000);

    CHECK(recv_soon(in)->text() == "view");
    CHECK((recv_soon(in)->data == std::vector<std::uint8_t>{1, 2, 3}));
    CHECK((recv_soon(in)->data == std::vector<std::uint8_t>{4, 5}));
    CHECK(recv_soon(in)->data.empty());
    const auto text = recv_soon(in);
    CHECK(text->is_text && text->text() == "text" && text->number > 0 && text->key.empty());

    // A buffer that is too small takes nothing, and learns the size.
    std::uint8_t room[10];
    rtc::message_info info;
    const auto end = clock_type::now() + PATIENCE;
    rtc::status_code status;
    do {
        CHECK(clock_type::now() < end);
        std::this_thread::sleep_for(1ms);
        status = status_of([&] { return in.recv(room, info); });
    } while (status == rtc::status_code::ok);
    CHECK(status == rtc::status_code::too_small && info.size() == large.size());
    CHECK(recv_soon(in)->data == large);
    CHECK((recv_soon(in)->data == std::vector<std::uint8_t>(50000, 9)));
    CHECK(!take(in.recv()));

    CHECK(status_of([&] { return out.send_text("\xff"); }) == rtc::status_code::invalid);
    CHECK(status_of([&] { return in.ack(1); }) == rtc::status_code::not_found);
    CHECK(take(out.label()) == "mission" && take(in.label()) == "mission");
}

void latest(rtc::channel out, rtc::channel in) {
    CHECK(take(out.send_keyed("arm", "up")) == rtc::sent::queued);
    const auto message = recv_soon(in);
    CHECK(message && message->key == "arm" && message->text() == "up");
    const std::string key(256, 'k');
    CHECK(status_of([&] { return out.send_keyed(key, "x"); }) == rtc::status_code::bad_message);
}

void statistics(const rtc::link &link, rtc::channel channel) {
    const rtc::link_statistics counted = take(link.statistics());
    CHECK(counted.state() == rtc::health::up && counted.carrier() == rtc::path_kind::direct);
    CHECK(counted.messages_sent >= MESSAGES && counted.messages_received >= MESSAGES);
    CHECK(counted.round_trip() && *counted.round_trip() < 1s && counted.paths_alive > 0);
    const auto paths = take(link.paths());
    CHECK(!paths.empty());
    CHECK(std::string(paths[0].local).rfind("127.0.0.1:", 0) == 0);
    const rtc::channel_statistics of_channel = take(channel.statistics());
    CHECK(of_channel.mode == ROVER_RTC_MODE_RELIABLE && of_channel.sent >= MESSAGES);
    CHECK(of_channel.acknowledged >= MESSAGES && of_channel.dropped_full == 0);
}

void full_outbox(rtc::peer &peer) {
    // To somebody who is never there: nothing leaves the outbox.
    const rtc::link nobody = take(peer.call("nobody"));
    rtc::channel_config config("small");
    const rtc::channel waits = take(nobody.open(config.outbox(2)));
    CHECK(take(waits.send("1")) == rtc::sent::queued);
    CHECK(take(waits.send("2")) == rtc::sent::queued);
    CHECK(take(waits.send("3")) == rtc::sent::no_room);
    CHECK(take(waits.queued()).messages == 2);
    CHECK(!take(waits.wait_acknowledged(10ms)));
    const rtc::channel refuses = take(
        nobody.open(rtc::channel_config("refuses").outbox(1).when_full(rtc::when_full::refuse)));
    CHECK(take(refuses.send("1")) == rtc::sent::queued);
    CHECK(status_of([&] { return refuses.send("2"); }) == rtc::status_code::full);

    nobody.let_go();
    nobody.let_go();
    CHECK(status_of([&] { return nobody.name(); }) == rtc::status_code::bad_handle);
    CHECK(status_of([&] { return waits.send("4"); }) == rtc::status_code::bad_handle);
}

void wrong_arguments(const std::string &address, rtc::peer &peer, rtc::link link) {
    using rtc::status_code;
    std::string text;
    const auto connect = [&](const rtc::peer_config &config) {
        return status_of([&] { return rtc::peer::connect(config); }, &text);
    };
    CHECK(connect(settings(address, "has white space")) != status_code::ok);
    CHECK(text.find("white space") != std::string::npos);
    CHECK(connect(settings(address, std::string("a\0b", 3))) == status_code::invalid);
    CHECK(text.find("NUL") != std::string::npos);
    CHECK(connect(settings(address, "x").bind("nowhere")) == status_code::invalid);
    CHECK(connect(settings(address, "x").probe_interval(1ms)) == status_code::invalid);
    CHECK(connect(settings("no address:", "x")) == status_code::server);
    CHECK(connect(settings(address, "x").channel(rtc::channel_config(""))) ==
          status_code::invalid);
    CHECK(status_of([&] { return rtc::server::start(rtc::server_config().listen("?")); }) ==
          status_code::invalid);
    CHECK(status_of([&] { return rtc::peer::answer(rtc::peer_config(), "no offer"); }) ==
          status_code::sdp);
    CHECK(status_of([&] { return peer.description(); }) == status_code::not_found);
    CHECK(status_of([&] { return link.channel("none"); }) == status_code::not_found);
    CHECK(status_of([&] { return link.open(rtc::channel_config("bad").priority(
                              static_cast<rtc::priority>(9))); }) == status_code::invalid);
    CHECK(!take(peer.find_link("none")));
    CHECK(std::string(rtc::to_string(status_code::invalid)) == "invalid argument");
}

void moves(rtc::peer &peer) {
    static_assert(!std::is_copy_constructible_v<rtc::peer>, "it owns");
    static_assert(!std::is_copy_constructible_v<rtc::server>, "it owns");
    static_assert(std::is_nothrow_move_constructible_v<rtc::peer>, "for containers");
    static_assert(std::is_nothrow_move_assignable_v<rtc::server>, "for containers");
    static_assert(std::is_trivially_copyable_v<rtc::link>, "a handle");
    static_assert(std::is_trivially_copyable_v<rtc::channel>, "a handle");

    const rtc::link home = take(peer.home());
    rtc::peer moved = std::move(peer);
    CHECK(moved && !peer);
    CHECK(status_of([&] { return peer.home(); }) == rtc::status_code::bad_handle);
    CHECK(status_of([&] { return peer.next_event(); }) == rtc::status_code::bad_handle);
    CHECK(take(moved.home()) == home);
    peer = std::move(moved);
    CHECK(peer && !moved && take(peer.home()) == home && take(home.name()).empty());
    std::unordered_set<rtc::link> links{home, home};
    CHECK(links.size() == 1 && rtc::link() != home && !rtc::link() && !rtc::channel());
}

void without_hub() {
    const auto config = rtc::peer_config().bind("127.0.0.1");
    rtc::peer offering = take(rtc::peer::offer(config));
    rtc::peer answering = take(rtc::peer::answer(config, take(offering.description())));
    DONE(offering.accept_answer(take(answering.description())));
    const rtc::channel out = take(take(offering.home()).channel("test"));
    CHECK(take(out.send_text("without a hub")) == rtc::sent::queued);
    const rtc::channel in = take(take(answering.home()).channel("test"));
    const auto message = recv_soon(in);
    CHECK(message && message->is_text && message->text() == "without a hub");
    CHECK(!take(offering.fingerprint()));
}

void wait_ends_with_the_peer(const std::string &address) {
    rtc::peer waited = take(rtc::peer::connect(settings(address, "waited")));
    std::atomic<rover_rtc_status> told{ROVER_RTC_OK};
    rover_rtc_peer *const handle = waited.handle();
    std::thread waiting([&] {
        while (told == ROVER_RTC_OK) {
            rover_rtc_event event;
            event.struct_size = sizeof event;
            while (rover_rtc_peer_next_event(handle, &event) == ROVER_RTC_OK) {
            }
            told = rover_rtc_peer_wait(handle, -1);
        }
    });
    std::this_thread::sleep_for(100ms);
    waited.free();
    waiting.join();
    CHECK(told == ROVER_RTC_CLOSED || told == ROVER_RTC_BAD_HANDLE);
    CHECK(status_of([&] { return waited.wait(); }) == rtc::status_code::bad_handle);
}

void run() {
    CHECK(rtc::version() == std::to_string(ROVER_RTC_VERSION_MAJOR) + "." +
                                std::to_string(ROVER_RTC_VERSION_MINOR) + "." +
                                std::to_string(ROVER_RTC_VERSION_PATCH));
    DONE(rtc::set_log(
        [](rtc::log_level level, std::string_view target, std::string_view text) {
            CHECK(level <= rtc::log_level::debug && !target.empty() && !text.empty());
            log_lines++;
            // From callbacks, functions that can fail are refused.
            if (status_of([] { return rtc::set_log(nullptr); }) == rtc::status_code::in_callback) {
                log_refusals++;
            }
        },
        rtc::log_level::debug));

    rtc::server hub = take(
        rtc::server::start(rtc::server_config().listen("127.0.0.1:0").udp("127.0.0.1:0")));
    const std::string address = take(hub.address());
    rtc::peer rover = take(rtc::peer::connect(settings(address, "rover")));
    rtc::peer station = take(rtc::peer::connect(settings(address, "station")));

    auto alive = std::make_shared<std::atomic<int>>(0);
    DONE(station.set_wake([alive] { ++*alive; }));
    moves(station);

    const rtc::link out = take(station.call("rover"));
    CHECK(take(station.dial("rover")) == out);
    rtc::link in;
    await(rover, [&](const rtc::event &event) {
        in = event.kind == rtc::event_kind::called ? event.link : in;
        return event.kind == rtc::event_kind::called;
    });
    CHECK(take(in.name()) == "station" && take(out.name()) == "rover");
    CHECK(take(rover.find_link("station")) == in);
    const rtc::channel there = take(out.channel("mission"));
    bool switched = false;
    await(station, [&](const rtc::event &event) {
        switched = switched || (event.kind == rtc::event_kind::path_switch && event.link == out &&
                                event.cause() == rtc::switch_cause::first && !event.text.empty());
        CHECK(std::string(rtc::to_string(event.kind)) != "unknown");
        return event.kind == rtc::event_kind::channel_open && event.channel == there;
    });
    CHECK(switched);
    CHECK(take(out.fingerprint()) == take(rover.fingerprint()));
    const rtc::channel here = take(in.channel("mission"));

    stream(station, there, here);
    stream(rover, here, there);
    // There were none after the first stream.
    CHECK(*alive > 0);
    messages(there, here);
    latest(take(out.channel("pose")), take(in.channel("pose")));
    statistics(out, there);
    full_outbox(station);
    wrong_arguments(address, station, out);
    without_hub();
    wait_ends_with_the_peer(address);

#ifndef _WIN32
    // The descriptor tells of events as long as there are some.
    drain(rover, [](const rtc::event &) { return false; });
    CHECK(take(there.send("wake up")) == rtc::sent::queued);
    pollfd set{take(rover.fd()), POLLIN, 0};
    CHECK(::poll(&set, 1, 10000) == 1 && (set.revents & POLLIN) != 0);
    CHECK(take(rover.next_event()).has_value());
#endif

    CHECK(take(hub.count()).connected >= 2);
    CHECK(take(hub.status()).find("\"clients\"") != std::string::npos);

    // The wake function ends with its peer, or with its replacement.
    CHECK(alive.use_count() == 2);
    DONE(station.set_wake(nullptr));
    CHECK(alive.use_count() == 1);
    DONE(station.set_wake([alive] { ++*alive; }));
    DONE(station.close());
    await(station, [&](const rtc::event &event) {
        return event.kind == rtc::event_kind::closed && event.link == take(station.home());
    });
    station = rtc::peer();
    CHECK(alive.use_count() == 1);

    // What belonged to it is refused, not followed.
    using rtc::status_code;
    CHECK(status_of([&] { return station.home(); }) == status_code::bad_handle);
    CHECK(status_of([&] { return out.statistics(); }) == status_code::bad_handle);
    CHECK(status_of([&] { return there.send("late"); }) == status_code::bad_handle);
    CHECK(status_of([&] { return there.recv(); }) == status_code::bad_handle);
    CHECK(status_of([&] { return rtc::channel().label(); }) == status_code::bad_handle);

    rtc::server moved = std::move(hub);
    CHECK(moved && !hub && take(moved.address()) == address);
    CHECK(status_of([&] { return hub.address(); }) == status_code::bad_handle);
    moved.free();
    moved.free();
    CHECK(status_of([&] { return moved.count(); }) == status_code::bad_handle);

    DONE(rtc::set_log(nullptr));
    // The last calls may still be under way.
    const auto end = clock_type::now() + PATIENCE;
    while (log_refusals != log_lines) {
        CHECK(clock_type::now() < end);
        std::this_thread::sleep_for(1ms);
    }
    CHECK(log_lines > 0);
}

} // namespace

int main() {
#if ROVER_RTC_EXCEPTIONS
    try {
        run();
    } catch (const rtc::error &e) {
        std::fprintf(stderr, "failed: %s (%d)\n", e.what(), static_cast<int>(e.status()));
        return 1;
    }
#else
    run();
#endif
    std::puts("ok");
    return 0;
}
