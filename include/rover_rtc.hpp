/*
 * rover-rtc for C++17: a thin wrapper of rover_rtc.h, all of it in this header.
 *
 *     auto config = rover_rtc::peer_config().server("http://hub:3000").name("rover-1");
 *     auto peer = rover_rtc::peer::connect(config);
 *     auto link = peer.call("operator");
 *     link.channel("test").send_text("hello");
 *
 * - peer and server own what they stand for, can be moved, and end it when they are destroyed. link
 *   and channel are handles: copy them freely. They belong to their peer; used after it, or after
 *   they were let go, they are refused with status_code::bad_handle, as is what is empty or was
 *   moved from.
 * - All functions may be called from any thread at any time, on the same object too, except those
 *   that move, assign or destroy a peer or server object. Callbacks (for logging and waking) may
 *   not call functions that can fail: those are refused with status_code::in_callback.
 * - Nothing blocks but the functions with a time-out and those that say so.
 * - Functions that can fail return outcome<T>. With exceptions that is a T, and failures are thrown
 *   as rover_rtc::error. Without (-fno-exceptions, or ROVER_RTC_NO_EXCEPTIONS defined) it is a
 *   result<T>: a T, or the status and the text of the failure. Two source files of one program may
 *   differ in this, but cannot pass the wrapper's objects to each other.
 * - Nothing of the standard library crosses into the C library: wrapper and library may be built by
 *   different compilers.
 */

#ifndef ROVER_RTC_HPP
#define ROVER_RTC_HPP

#include "rover_rtc.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

/** 1 if failures are thrown, 0 if they are returned in a result<T>. */
#if !defined(ROVER_RTC_NO_EXCEPTIONS) && (defined(__cpp_exceptions) || defined(_CPPUNWIND))
#define ROVER_RTC_EXCEPTIONS 1
#else
#define ROVER_RTC_EXCEPTIONS 0
#endif

namespace rover_rtc {

// Both kinds may be linked into one program: their functions need names of their own.
#if ROVER_RTC_EXCEPTIONS
inline namespace throwing {
#else
inline namespace returning {
#endif

/** Why a function failed. The numbers are those of the C library. */
enum class status_code : std::int32_t {
    ok = ROVER_RTC_OK,                        /**< Done. */
    again = ROVER_RTC_AGAIN,                  /**< Not now. Never a failure. */
    invalid = ROVER_RTC_INVALID,              /**< An argument has a value that it cannot have. */
    bad_handle = ROVER_RTC_BAD_HANDLE,        /**< Freed, moved from, empty, or of another kind. */
    closed = ROVER_RTC_CLOSED,                /**< The peer, hub, link or channel is closed. */
    too_small = ROVER_RTC_TOO_SMALL,          /**< The buffer is too small; nothing was taken. */
    not_found = ROVER_RTC_NOT_FOUND,          /**< There is no such channel, link or message. */
    too_large = ROVER_RTC_TOO_LARGE,          /**< The message is larger than the channel takes. */
    bad_message = ROVER_RTC_BAD_MESSAGE,      /**< The message or key does not fit. */
    full = ROVER_RTC_FULL,                    /**< The outbox is full, and refuses. */
    not_stored = ROVER_RTC_NOT_STORED,        /**< The journal failed: the disk, or its limit. */
    server = ROVER_RTC_SERVER,                /**< The hub's address is none, or it refused. */
    sdp = ROVER_RTC_SDP,                      /**< A session description could not be used. */
    network = ROVER_RTC_NETWORK,              /**< A socket or interface could not be used. */
    identity = ROVER_RTC_IDENTITY,            /**< The key, known peers or roster are unusable. */
    dial = ROVER_RTC_DIAL,                    /**< Another peer could not be called. */
    in_callback = ROVER_RTC_IN_CALLBACK,      /**< Not from a callback. */
    panic = ROVER_RTC_PANIC,                  /**< A bug in the library, which goes on. */
    dropped = ROVER_RTC_DROPPED,              /**< Some of the messages will not arrive. */
};

/** What a status means, in a few words. Static. May be called from callbacks. */
inline const char *to_string(status_code status) noexcept {
    return rover_rtc_status_str(static_cast<rover_rtc_status>(status));
}

#if ROVER_RTC_EXCEPTIONS

/** A failure: what() says what happened, status() of which kind it is. */
class error : public std::runtime_error {
public:
    /** With what it has to say. */
    error(status_code status, const std::string &text)
        : std::runtime_error(text), status_(status) {}

    /** Its kind. */
    status_code status() const noexcept { return status_; }

private:
    status_code status_;
};

/** What a function that can fail returns: here its value; failures are thrown as error. */
template <class T> using outcome = T;

#else

/** What a function that can fail returns: its value, or why there is none. */
template <class T> class [[nodiscard]] result {
public:
    result(T value) : value_(std::move(value)) {}
    result(status_code status, std::string text) : status_(status), text_(std::move(text)) {}

    /** Whether there is a value. */
    bool has_value() const noexcept { return value_.has_value(); }
    /** Whether there is a value: not what it is, even if it is a bool. */
    explicit operator bool() const noexcept { return has_value(); }
    /** Kind of the failure; status_code::ok if there is a value. */
    status_code status() const noexcept { return status_; }
    /** What the failure has to say; empty if there is a value. */
    const std::string &text() const noexcept { return text_; }

    /** The value. Ends the program if there is none: ask before. */
    T &value() & { return *checked(); }
    T &&value() && { return std::move(*checked()); }
    T &operator*() & { return *checked(); }
    T &&operator*() && { return std::move(*checked()); }
    T *operator->() { return &*checked(); }

private:
    std::optional<T> &checked() {
        if (!value_) {
            std::fprintf(stderr, "rover_rtc: %s\n", text_.c_str());
            std::abort();
        }
        return value_;
    }

    std::optional<T> value_;
    status_code status_ = status_code::ok;
    std::string text_;
};

/** Whether something was done, or why not. */
template <> class [[nodiscard]] result<void> {
public:
    result() = default;
    result(status_code status, std::string text) : status_(status), text_(std::move(text)) {}

    /** Whether it was done. */
    bool has_value() const noexcept { return status_ == status_code::ok; }
    explicit operator bool() const noexcept { return has_value(); }
    /** Kind of the failure; status_code::ok without one. */
    status_code status() const noexcept { return status_; }
    /** What the failure has to say; empty without one. */
    const std::string &text() const noexcept { return text_; }

private:
    status_code status_ = status_code::ok;
    std::string text_;
};

/** What a function that can fail returns: here a result. */
template <class T> using outcome = result<T>;

#endif

/** What a channel promises. Both sides have to set the same. */
enum class mode : std::int32_t {
    reliable = ROVER_RTC_MODE_RELIABLE, /**< Exactly once, in order, while both processes live. */
    durable = ROVER_RTC_MODE_DURABLE,   /**< The same across restarts; needs a state_dir. */
    latest = ROVER_RTC_MODE_LATEST,     /**< The newest of each key wins. */
    datagram = ROVER_RTC_MODE_DATAGRAM, /**< One try, in no order. */
    plain = ROVER_RTC_MODE_PLAIN,       /**< As a W3C data channel, for browsers. */
};

/** A channel's place among those of its link. */
enum class priority : std::int32_t {
    high = ROVER_RTC_PRIORITY_HIGH,     /**< Goes first: commands. */
    normal = ROVER_RTC_PRIORITY_NORMAL, /**< Most things. */
    low = ROVER_RTC_PRIORITY_LOW,       /**< Goes last: bulk. */
};

/** What a full outbox does with a new message. */
enum class when_full : std::int32_t {
    wait = ROVER_RTC_WHEN_FULL_WAIT,               /**< sent::no_room; send_ready follows. */
    refuse = ROVER_RTC_WHEN_FULL_REFUSE,           /**< Fails with status_code::full. */
    drop_oldest = ROVER_RTC_WHEN_FULL_DROP_OLDEST, /**< The oldest unsent ones make room. */
    keep_latest = ROVER_RTC_WHEN_FULL_KEEP_LATEST, /**< It replaces all unsent ones. */
};

/** Whether records are sent twice. */
enum class redundancy : std::int32_t {
    automatic = ROVER_RTC_REDUNDANCY_AUTO, /**< While the path is suspect or lossy. */
    off = ROVER_RTC_REDUNDANCY_OFF,        /**< Never. */
    always = ROVER_RTC_REDUNDANCY_ALWAYS,  /**< On the two best paths. */
};

/** What has happened; of what there is besides, see event. */
enum class event_kind : std::int32_t {
    called = ROVER_RTC_EVENT_CALLED,                 /**< Another peer has called: link is new. */
    readable = ROVER_RTC_EVENT_READABLE,             /**< channel has messages, or has ended. */
    send_ready = ROVER_RTC_EVENT_SEND_READY,         /**< channel has room, after no_room. */
    channel_open = ROVER_RTC_EVENT_CHANNEL_OPEN,     /**< channel is open, first or again. */
    channel_closed = ROVER_RTC_EVENT_CHANNEL_CLOSED, /**< The other side closed channel. */
    state = ROVER_RTC_EVENT_STATE,                   /**< The connection's state: state(). */
    path_switch = ROVER_RTC_EVENT_PATH_SWITCH,       /**< path(), because of cause(); text. */
    outage = ROVER_RTC_EVENT_OUTAGE,                 /**< No path lives; messages wait. */
    recovered = ROVER_RTC_EVENT_RECOVERED,           /**< Messages flow, after outage(). */
    resumed = ROVER_RTC_EVENT_RESUMED,               /**< value messages are sent once more. */
    peer_restarted = ROVER_RTC_EVENT_PEER_RESTARTED, /**< The other process is a new one. */
    gap = ROVER_RTC_EVENT_GAP,                       /**< value pieces will not come. */
    progress = ROVER_RTC_EVENT_PROGRESS,             /**< value of other bytes are here. */
    restarting = ROVER_RTC_EVENT_RESTARTING,         /**< By the hub, a restart is under way. */
    dialing = ROVER_RTC_EVENT_DIALING,               /**< value-th new connection of an outage. */
    trouble = ROVER_RTC_EVENT_TROUBLE,               /**< text failed and is tried again. */
    disconnected = ROVER_RTC_EVENT_DISCONNECTED,     /**< The connection is over: reason(), text. */
    closed = ROVER_RTC_EVENT_CLOSED,                 /**< link is closed for good. */
    dropped = ROVER_RTC_EVENT_DROPPED,               /**< value messages were dropped: text. */
};

/** State of a connection. */
enum class connection_state : std::int32_t {
    fresh = ROVER_RTC_STATE_NEW,                  /**< Not connected yet. */
    checking = ROVER_RTC_STATE_CHECKING,          /**< Looking for a path. */
    connected = ROVER_RTC_STATE_CONNECTED,        /**< A path lives. */
    disconnected = ROVER_RTC_STATE_DISCONNECTED,  /**< No path lives. */
};

/** What a path goes through. */
enum class path_kind : std::int32_t {
    none = ROVER_RTC_PATH_NONE,           /**< No path carries the messages. */
    direct = ROVER_RTC_PATH_DIRECT,       /**< Nothing but routers. */
    reflexive = ROVER_RTC_PATH_REFLEXIVE, /**< At least one NAT. */
    turn = ROVER_RTC_PATH_TURN,           /**< A TURN server. */
    hub = ROVER_RTC_PATH_HUB,             /**< The hub. */
};

/** Why another path carries the messages. */
enum class switch_cause : std::int32_t {
    first = ROVER_RTC_SWITCH_FIRST,         /**< The first of a connection. */
    died = ROVER_RTC_SWITCH_DIED,           /**< The one before is dead or gone. */
    came_back = ROVER_RTC_SWITCH_CAME_BACK, /**< None lived, and this one came back. */
    faster = ROVER_RTC_SWITCH_FASTER,       /**< Clearly faster. */
    direct = ROVER_RTC_SWITCH_DIRECT,       /**< Needs no relay, the one before does. */
};

/** Why a connection, or a link, is over. */
enum class disconnect_reason : std::int32_t {
    failed = ROVER_RTC_DISCONNECT_FAILED,         /**< The connection failed; the link goes on. */
    closed = ROVER_RTC_DISCONNECT_CLOSED,         /**< By the other side; the link goes on. */
    bye = ROVER_RTC_DISCONNECT_BYE,               /**< The other peer has ended the link. */
    given_up = ROVER_RTC_DISCONNECT_GIVEN_UP,     /**< It was away for too long. */
    timed_out = ROVER_RTC_DISCONNECT_TIMED_OUT,   /**< It was not reached in time. */
    distrusted = ROVER_RTC_DISCONNECT_DISTRUSTED, /**< What came in its name was not from it. */
    not_stored = ROVER_RTC_DISCONNECT_NOT_STORED, /**< The journal cannot be used. */
    here = ROVER_RTC_DISCONNECT_HERE,             /**< Another reason of this side: text. */
};

/** How a link fares. */
enum class health : std::int32_t {
    connecting = ROVER_RTC_HEALTH_CONNECTING, /**< Has not been up yet. */
    up = ROVER_RTC_HEALTH_UP,                 /**< Messages flow. */
    outage = ROVER_RTC_HEALTH_OUTAGE,         /**< No path lives; messages wait. */
};

/** How grave a log line is. */
enum class log_level : std::int32_t {
    error = ROVER_RTC_LOG_ERROR, /**< Errors. */
    warn = ROVER_RTC_LOG_WARN,   /**< And warnings. */
    info = ROVER_RTC_LOG_INFO,   /**< And what changes the state of peers and links. */
    debug = ROVER_RTC_LOG_DEBUG, /**< And how. */
    trace = ROVER_RTC_LOG_TRACE, /**< And everything else. */
};

/** What became of a message. */
enum class sent {
    queued,  /**< It is queued: not that it has arrived. */
    no_room, /**< It was not taken; event_kind::send_ready follows when there is room. */
};

/** The name of an event, as in event_kind. Static; "unknown" for those of a newer library. */
inline const char *to_string(event_kind kind) noexcept {
    switch (kind) {
    case event_kind::called: return "called";
    case event_kind::readable: return "readable";
    case event_kind::send_ready: return "send_ready";
    case event_kind::channel_open: return "channel_open";
    case event_kind::channel_closed: return "channel_closed";
    case event_kind::state: return "state";
    case event_kind::path_switch: return "path_switch";
    case event_kind::outage: return "outage";
    case event_kind::recovered: return "recovered";
    case event_kind::resumed: return "resumed";
    case event_kind::peer_restarted: return "peer_restarted";
    case event_kind::gap: return "gap";
    case event_kind::progress: return "progress";
    case event_kind::restarting: return "restarting";
    case event_kind::dialing: return "dialing";
    case event_kind::trouble: return "trouble";
    case event_kind::disconnected: return "disconnected";
    case event_kind::closed: return "closed";
    case event_kind::dropped: return "dropped";
    }
    return "unknown";
}

/** The name of a kind of path, as in path_kind. Static. */
inline const char *to_string(path_kind kind) noexcept {
    switch (kind) {
    case path_kind::none: return "none";
    case path_kind::direct: return "direct";
    case path_kind::reflexive: return "reflexive";
    case path_kind::turn: return "turn";
    case path_kind::hub: return "hub";
    }
    return "unknown";
}

/** The name of a cause, as in switch_cause. Static. */
inline const char *to_string(switch_cause cause) noexcept {
    switch (cause) {
    case switch_cause::first: return "first";
    case switch_cause::died: return "died";
    case switch_cause::came_back: return "came_back";
    case switch_cause::faster: return "faster";
    case switch_cause::direct: return "direct";
    }
    return "unknown";
}

/** The name of a reason, as in disconnect_reason. Static. */
inline const char *to_string(disconnect_reason reason) noexcept {
    switch (reason) {
    case disconnect_reason::failed: return "failed";
    case disconnect_reason::closed: return "closed";
    case disconnect_reason::bye: return "bye";
    case disconnect_reason::given_up: return "given_up";
    case disconnect_reason::timed_out: return "timed_out";
    case disconnect_reason::distrusted: return "distrusted";
    case disconnect_reason::not_stored: return "not_stored";
    case disconnect_reason::here: return "here";
    }
    return "unknown";
}

namespace detail {

template <class T>
inline constexpr bool is_byte = std::is_same_v<std::remove_cv_t<T>, char> ||
                                std::is_same_v<std::remove_cv_t<T>, unsigned char> ||
                                std::is_same_v<std::remove_cv_t<T>, std::byte>;

/** What the elements of a container are, as its data() has them. */
template <class C>
using element = std::remove_pointer_t<decltype(std::declval<C &>().data())>;

/** What the C library returned, or what the wrapper has to say itself. */
struct verdict {
    verdict(rover_rtc_status given) : status(given) {}
    verdict(rover_rtc_status given, const char *said) : status(given), text(said) {}

    bool failed() const { return status < 0; }

    rover_rtc_status status;
    const char *text = nullptr;
};

inline std::string text_of(const verdict &why) {
    if (why.text != nullptr) {
        return why.text;
    }
    std::string text = rover_rtc_last_error();
    return text.empty() ? rover_rtc_status_str(why.status) : text;
}

template <class T> outcome<T> fail(const verdict &why) {
    const auto status = static_cast<status_code>(why.status);
#if ROVER_RTC_EXCEPTIONS
    throw error(status, text_of(why));
#else
    return result<T>(status, text_of(why));
#endif
}

/** The value, unless the call that was to make it has failed. */
template <class T> outcome<T> give(const verdict &why, T value) {
    if (why.failed()) {
        return fail<T>(why);
    }
    return outcome<T>(std::move(value));
}

inline outcome<void> check(const verdict &why) {
    if (why.failed()) {
        return fail<void>(why);
    }
    return outcome<void>();
}

/** A text as C has it. One with a NUL inside would be cut there without a word. */
template <class Call> verdict with_text(const std::string &text, Call call) {
    if (text.find('\0') != std::string::npos) {
        return {ROVER_RTC_INVALID, "a text has a NUL inside"};
    }
    return call(text.c_str());
}

/** Reads a text with a function that takes a buffer, its capacity, and a place for the size. */
template <class Call> verdict read_text(std::string &text, Call call) {
    std::size_t size = 256;
    for (;;) {
        text.resize(size);
        const rover_rtc_status status = call(&text[0], text.size(), &size);
        // It may have grown since the call that told its size.
        if (status == ROVER_RTC_TOO_SMALL && size > text.size()) {
            continue;
        }
        text.resize(status == ROVER_RTC_OK ? size - 1 : 0);
        return status;
    }
}

/** As read_text(), where there may be none. */
template <class Call> outcome<std::optional<std::string>> find_text(Call call) {
    std::string text;
    const verdict why = read_text(text, call);
    if (why.status == ROVER_RTC_NOT_FOUND) {
        return std::optional<std::string>();
    }
    return give<std::optional<std::string>>(why, std::move(text));
}

/** The strings of a configuration, as C has them while that lives. */
class texts {
public:
    const char *one(const std::optional<std::string> &text) {
        return text ? pointer(*text) : nullptr;
    }

    const char *const *all(const std::vector<std::string> &given, std::size_t &count) {
        std::vector<const char *> pointers;
        pointers.reserve(given.size());
        for (const auto &text : given) {
            pointers.push_back(pointer(text));
        }
        count = given.size();
        // The pointers inside stay where they are when the outer vector grows.
        arrays_.push_back(std::move(pointers));
        return arrays_.back().data();
    }

    const char *pointer(const std::string &text) {
        has_nul_ = has_nul_ || text.find('\0') != std::string::npos;
        return text.c_str();
    }

    verdict checked() const {
        if (has_nul_) {
            return {ROVER_RTC_INVALID, "a text of the settings has a NUL inside"};
        }
        return ROVER_RTC_OK;
    }

private:
    std::vector<std::vector<const char *>> arrays_;
    bool has_nul_ = false;
};

/** Milliseconds as C has them: what it cannot express becomes the nearest that it can. */
template <class To> To ms(std::chrono::milliseconds time) noexcept {
    constexpr auto most = std::numeric_limits<To>::max();
    if (time.count() <= 0) {
        return 0;
    }
    const auto count = static_cast<std::uint64_t>(time.count());
    return count > static_cast<std::uint64_t>(most) ? most : static_cast<To>(count);
}

/** Microseconds as C has them, rounded up; what it cannot express becomes the nearest that it can. */
template <class Rep, class Period>
std::int64_t us(std::chrono::duration<Rep, Period> time) noexcept {
    using real = std::chrono::duration<long double, std::micro>;
    const auto count = std::chrono::duration_cast<real>(time).count();
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    if (!(count > 0)) {
        return 0;
    }
    if (count >= static_cast<long double>(most)) {
        return most;
    }
    const auto whole = static_cast<std::int64_t>(count);
    return static_cast<long double>(whole) < count ? whole + 1 : whole;
}

/** Log and wake functions by what C knows them. It lives for ever: C may call late. */
class callbacks {
public:
    using log_function = std::function<void(log_level, std::string_view, std::string_view)>;
    using wake_function = std::function<void()>;

    static callbacks &all() {
        static callbacks &instance = *new callbacks;
        return instance;
    }

    // What these replace is returned, so that it ends without the lock: it may do anything.
    std::shared_ptr<log_function> set_log(std::shared_ptr<log_function> next) {
        const std::lock_guard<std::mutex> lock(mutex_);
        return std::exchange(log_, std::move(next));
    }

    std::shared_ptr<wake_function> set_wake(void *peer, std::shared_ptr<wake_function> next) {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::shared_ptr<wake_function> before;
        const auto found = wake_.find(peer);
        if (found != wake_.end()) {
            before = std::move(found->second);
            wake_.erase(found);
        }
        if (next) {
            wake_.emplace(peer, std::move(next));
        }
        return before;
    }

    /** Sets a function, here by `store` and in C by `tell`, so that no call is lost in between. */
    template <class F, class Store, class Tell>
    static rover_rtc_status replace(F function, Store store, Tell tell) {
        if (!function) {
            const rover_rtc_status status = tell(false);
            if (status >= 0) {
                store(nullptr);
            }
            return status;
        }
        const auto before = store(std::make_shared<F>(std::move(function)));
        const rover_rtc_status status = tell(true);
        if (status < 0) {
            store(before);
        }
        return status;
    }

    // noexcept: an exception must not go through the library's frames.
    static void call_log(void *, std::int32_t level, const char *target,
                         const char *text) noexcept {
        if (const auto log = all().log()) {
            (*log)(static_cast<log_level>(level), target, text);
        }
    }

    static void call_wake(void *peer) noexcept {
        if (const auto wake = all().wake(peer)) {
            (*wake)();
        }
    }

private:
    // Called without the lock, and kept alive for as long as the call takes.
    std::shared_ptr<log_function> log() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return log_;
    }

    std::shared_ptr<wake_function> wake(void *peer) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = wake_.find(peer);
        return found == wake_.end() ? nullptr : found->second;
    }

    std::mutex mutex_;
    std::shared_ptr<log_function> log_;
    std::unordered_map<void *, std::shared_ptr<wake_function>> wake_;
};

} // namespace detail

/** The version of the library that is used at run time: "major.minor.patch". From callbacks too. */
inline std::string_view version() noexcept { return rover_rtc_version(); }

/**
 * Sets what gets the library's log lines of `level` and graver ones, each with where it comes from;
 * an empty function ends that. It is called on any thread, maybe on several at the same time, must
 * return soon, and must not throw (that ends the program). A call may be under way when this
 * returns: what the function refers to has to outlive that. Fails with status_code::invalid if Rust
 * code of this process takes the log lines.
 */
inline outcome<void> set_log(std::function<void(log_level, std::string_view, std::string_view)> log,
                             log_level level = log_level::info) {
    using detail::callbacks;
    const auto store = [](auto next) { return callbacks::all().set_log(std::move(next)); };
    const auto tell = [&](bool on) {
        return rover_rtc_set_log(on ? &callbacks::call_log : nullptr, nullptr,
                                 static_cast<std::int32_t>(level));
    };
    return detail::check(callbacks::replace(std::move(log), store, tell));
}

/**
 * Bytes that are read during a call: what has data() and size() of bytes, or text up to its NUL.
 */
class bytes_view {
public:
    constexpr bytes_view() noexcept = default;
    constexpr bytes_view(const std::uint8_t *data, std::size_t size) noexcept
        : data_(data), size_(size) {}
    bytes_view(const char *text) noexcept : bytes_view(std::string_view(text)) {}

    template <class C, class = std::enable_if_t<detail::is_byte<detail::element<const C>>>>
    bytes_view(const C &bytes) noexcept
        : data_(reinterpret_cast<const std::uint8_t *>(bytes.data())), size_(bytes.size()) {}

    /** The first byte; may be null if there is none. */
    constexpr const std::uint8_t *data() const noexcept { return data_; }
    /** Bytes. */
    constexpr std::size_t size() const noexcept { return size_; }

private:
    const std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/** Room for bytes: what has data() and size() of bytes. */
class buffer_view {
public:
    constexpr buffer_view() noexcept = default;
    constexpr buffer_view(std::uint8_t *data, std::size_t size) noexcept
        : data_(data), size_(size) {}

    template <std::size_t N>
    constexpr buffer_view(std::uint8_t (&room)[N]) noexcept : data_(room), size_(N) {}

    template <class C, class E = detail::element<C>,
              class = std::enable_if_t<detail::is_byte<E> && !std::is_const_v<E>>>
    buffer_view(C &room) noexcept
        : data_(reinterpret_cast<std::uint8_t *>(room.data())), size_(room.size()) {}

    /** Where it begins; may be null if it is empty. */
    constexpr std::uint8_t *data() const noexcept { return data_; }
    /** Bytes. */
    constexpr std::size_t size() const noexcept { return size_; }

private:
    std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/** What there is to know of a message whose bytes are in a buffer of the program's. */
class message_info {
public:
    message_info() noexcept : raw_{} { raw_.struct_size = sizeof raw_; }

    /** Bytes of the message: of the next one after status_code::too_small. */
    std::size_t size() const noexcept { return raw_.size; }
    /** Whether it is text: UTF-8 without a NUL at its end. */
    bool is_text() const noexcept { return raw_.is_text != 0; }
    /** Its number, which rises and outlives restarts; 0 on plain channels. */
    std::uint64_t number() const noexcept { return raw_.number; }
    /** Its key, on a channel of mode::latest; empty elsewhere. */
    std::string_view key() const noexcept {
        return {reinterpret_cast<const char *>(raw_.key), raw_.key_size};
    }

    /** For functions of rover_rtc.h. */
    rover_rtc_message *raw() noexcept { return &raw_; }

private:
    rover_rtc_message raw_;
};

/** A message that owns its bytes. */
struct message {
    /** Its bytes. */
    std::vector<std::uint8_t> data;
    /** Its key, on a channel of mode::latest; empty elsewhere. */
    std::string key;
    /** Its number, which rises and outlives restarts; 0 on plain channels. */
    std::uint64_t number = 0;
    /** Whether it is text: UTF-8. */
    bool is_text = false;

    /** Its bytes as text, for as long as it lives; of a binary message they may be anything. */
    std::string_view text() const noexcept {
        return {reinterpret_cast<const char *>(data.data()), data.size()};
    }
};

/** What a link has counted: all fields of rover_rtc_link_statistics. */
struct link_statistics : rover_rtc_link_statistics {
    link_statistics() noexcept : rover_rtc_link_statistics{} {
        struct_size = sizeof(rover_rtc_link_statistics);
    }

    /** How the link fares. */
    rover_rtc::health state() const noexcept { return static_cast<rover_rtc::health>(health); }
    /** What the selected path goes through. */
    path_kind carrier() const noexcept { return static_cast<path_kind>(path); }
    /** Smoothed round-trip time of the selected path; none as long as it is not known. */
    std::optional<std::chrono::microseconds> round_trip() const noexcept {
        if (rtt_us == std::numeric_limits<std::uint64_t>::max()) {
            return std::nullopt;
        }
        return std::chrono::microseconds(static_cast<std::int64_t>(rtt_us));
    }
};

/** What a channel has counted: all fields of rover_rtc_channel_statistics. */
struct channel_statistics : rover_rtc_channel_statistics {
    channel_statistics() noexcept : rover_rtc_channel_statistics{} {
        struct_size = sizeof(rover_rtc_channel_statistics);
    }
};

/** One path of a link: times in microseconds, addresses as texts. */
using path_statistics = rover_rtc_path_statistics;

/** What waits in a channel. */
struct queue_sizes {
    /** Messages that wait to be sent. */
    std::size_t messages = 0;
    /** Their bytes. */
    std::size_t bytes = 0;
    /** Messages sent and not acknowledged. */
    std::size_t unacknowledged = 0;
};

/** Settings of a channel. What is not set is the default of rover_rtc_channel_config. */
class channel_config {
public:
    /** Of a channel of this name (UTF-8, 1 to 255 bytes) and mode. */
    explicit channel_config(std::string label, rover_rtc::mode what = rover_rtc::mode::reliable)
        : raw_{}, init_(rover_rtc_channel_config_init(&raw_, sizeof raw_)),
          label_(std::move(label)) {
        raw_.mode = static_cast<std::int32_t>(what);
    }

    /** Its place among the link's channels. Default normal. */
    channel_config &priority(rover_rtc::priority value) {
        raw_.priority = static_cast<std::int32_t>(value);
        return *this;
    }
    /** What a full outbox does. Default wait. */
    channel_config &when_full(rover_rtc::when_full value) {
        raw_.when_full = static_cast<std::int32_t>(value);
        return *this;
    }
    /**
     * How long a message may wait to be sent, in modes latest and datagram. Default 0: no limit.
     */
    channel_config &ttl(std::chrono::milliseconds value) {
        raw_.ttl_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }
    /** Times a lost message is sent again, in mode plain. Default -1: until it arrives. */
    channel_config &max_retransmits(std::int32_t value) {
        raw_.max_retransmits = value;
        return *this;
    }
    /** Whether messages may arrive in another order than sent, in mode plain. Default false. */
    channel_config &unordered(bool value = true) {
        raw_.unordered = value ? 1 : 0;
        return *this;
    }
    /** Whether channel::ack() acknowledges, in modes reliable and durable. Default: recv() does. */
    channel_config &manual_ack(bool value = true) {
        raw_.manual_ack = value ? 1 : 0;
        return *this;
    }
    /** What the outbox holds: messages, default 4,096, and bytes, default 4 MiB; 0: the default. */
    channel_config &outbox(std::uint64_t messages, std::uint64_t bytes = 0) {
        raw_.outbox_messages = messages;
        raw_.outbox_bytes = bytes;
        return *this;
    }
    /** Largest message in bytes. Default 0: what the mode has. */
    channel_config &max_message(std::uint64_t value) {
        raw_.max_message = value;
        return *this;
    }

    /** Calls `use` with the C struct, which is valid during the call. */
    template <class Use> detail::verdict with_raw(Use use) const {
        detail::texts texts;
        const rover_rtc_channel_config raw = fill(texts);
        const detail::verdict checked = init_.failed() ? init_ : texts.checked();
        return checked.failed() ? checked : detail::verdict(use(&raw));
    }

private:
    friend class peer_config;

    rover_rtc_channel_config fill(detail::texts &texts) const {
        rover_rtc_channel_config raw = raw_;
        raw.label = texts.pointer(label_);
        return raw;
    }

    rover_rtc_channel_config raw_;
    detail::verdict init_;
    std::string label_;
};

/** Settings of a peer. What is not set is the default of rover_rtc_peer_config. */
class peer_config {
public:
    peer_config() : raw_{}, init_(rover_rtc_peer_config_init(&raw_, sizeof raw_)) {}

    /** The hub: `host:port` or a URL. Default "http://127.0.0.1:3000". */
    peer_config &server(std::string value) {
        server_ = std::move(value);
        return *this;
    }
    /** The peer's name: 1 to 64 bytes without white space. Default none: no calls. */
    peer_config &name(std::string value) {
        name_ = std::move(value);
        return *this;
    }
    /** Directory of key, known peers and journal; is made. Default none: a new key each time. */
    peer_config &state_dir(std::string value) {
        state_dir_ = std::move(value);
        return *this;
    }
    /** File of the peers that may call and be called. Default none: trust at the first meeting. */
    peer_config &roster(std::string value) {
        roster_ = std::move(value);
        return *this;
    }
    /** What the hub asks for before it registers a name. Default none. */
    peer_config &token(std::string value) {
        token_ = std::move(value);
        return *this;
    }
    /** Adds a STUN or TURN server: `stun:host`, `turn:user:password@host:port`. */
    peer_config &ice_server(std::string value) {
        ice_servers_.push_back(std::move(value));
        return *this;
    }
    /** Adds a channel of each link that the peer makes. Without any: a plain one, "test". */
    peer_config &channel(channel_config value) {
        channels_.push_back(std::move(value));
        return *this;
    }
    /** Adds a local address to use. Without any: those of all usable interfaces. */
    peer_config &bind(std::string value) {
        bind_.push_back(std::move(value));
        return *this;
    }
    /** Adds an interface to use; `*` stands for any characters. Without any: all. */
    peer_config &interface_name(std::string value) {
        interfaces_.push_back(std::move(value));
        return *this;
    }
    /** Adds an interface that is not to be used. */
    peer_config &no_interface(std::string value) {
        no_interfaces_.push_back(std::move(value));
        return *this;
    }
    /** Whether the hub may relay where there is no direct path. Default true. */
    peer_config &relay(bool value) {
        raw_.relay = value ? 1 : 0;
        return *this;
    }
    /** Whether only relayed paths are used: other peers learn no addresses. Default false. */
    peer_config &relay_only(bool value = true) {
        raw_.relay_only = value ? 1 : 0;
        return *this;
    }
    /** Whether records are sent twice. Default automatic. */
    peer_config &redundancy(rover_rtc::redundancy value) {
        raw_.redundancy = static_cast<std::int32_t>(value);
        return *this;
    }
    /** Whether the other side is another WebRTC stack, without a hub. Default false. */
    peer_config &foreign(bool value = true) {
        raw_.foreign = value ? 1 : 0;
        return *this;
    }
    /**
     * Time between probes of the path in use; it counts as dead after about three. Default 50 ms.
     */
    peer_config &probe_interval(std::chrono::milliseconds value) {
        raw_.probe_interval_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }
    /** Time between probes of other paths while the link is in use. Default 1 s. */
    peer_config &standby_interval(std::chrono::milliseconds value) {
        raw_.standby_interval_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }
    /** Time between probes of an idle link. Default 15 s. */
    peer_config &idle_interval(std::chrono::milliseconds value) {
        raw_.idle_interval_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }
    /** Bytes per second that redundancy::automatic may add. Default 32,000. */
    peer_config &duplicate_budget(std::uint32_t value) {
        raw_.duplicate_budget = value;
        return *this;
    }
    /** Time without a living path after which ICE is restarted. Default 2 s. */
    peer_config &restart_after(std::chrono::milliseconds value) {
        raw_.restart_after_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }
    /** Time that a new connection may take. Default 10 s. */
    peer_config &dial_timeout(std::chrono::milliseconds value) {
        raw_.dial_timeout_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }
    /** Longest pause between tries. Default 30 s. */
    peer_config &max_pause(std::chrono::milliseconds value) {
        raw_.max_pause_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }
    /** Time without a path after which a link, and what waits on it, is given up. Default 24 h. */
    peer_config &resume_window(std::chrono::milliseconds value) {
        raw_.resume_window_ms = detail::ms<std::uint64_t>(value);
        return *this;
    }
    /** Links with other peers in all. Default 64. */
    peer_config &max_links(std::uint32_t value) {
        raw_.max_links = value;
        return *this;
    }
    /** Channels that a link can have, whoever opens them. Default 16. */
    peer_config &max_channels(std::uint32_t value) {
        raw_.max_channels = value;
        return *this;
    }
    /** Bytes of unread messages of a channel after which the sender is stopped. Default 16 MiB. */
    peer_config &inbox_bytes(std::uint64_t value) {
        raw_.inbox_bytes = value;
        return *this;
    }
    /** Largest message in bytes that is taken. Default 16 MiB. */
    peer_config &max_message(std::uint64_t value) {
        raw_.max_message = value;
        return *this;
    }
    /** Bytes that the journal keeps at most. Default 256 MiB. */
    peer_config &journal_bytes(std::uint64_t value) {
        raw_.journal_bytes = value;
        return *this;
    }

    /** Calls `use` with the C struct, which is valid during the call. */
    template <class Use> detail::verdict with_raw(Use use) const {
        detail::texts texts;
        detail::verdict checked = init_;
        rover_rtc_peer_config raw = raw_;
        raw.server = texts.one(server_);
        raw.name = texts.one(name_);
        raw.state_dir = texts.one(state_dir_);
        raw.roster = texts.one(roster_);
        raw.token = texts.one(token_);
        raw.ice_servers = texts.all(ice_servers_, raw.ice_server_count);
        raw.bind = texts.all(bind_, raw.bind_count);
        raw.interfaces = texts.all(interfaces_, raw.interface_count);
        raw.no_interfaces = texts.all(no_interfaces_, raw.no_interface_count);
        std::vector<rover_rtc_channel_config> channels;
        for (const auto &channel : channels_) {
            channels.push_back(channel.fill(texts));
            checked = checked.failed() ? checked : channel.init_;
        }
        raw.channels = channels.data();
        raw.channel_count = channels.size();
        checked = checked.failed() ? checked : texts.checked();
        return checked.failed() ? checked : detail::verdict(use(&raw));
    }

private:
    rover_rtc_peer_config raw_;
    detail::verdict init_;
    std::optional<std::string> server_, name_, state_dir_, roster_, token_;
    std::vector<std::string> ice_servers_, bind_, interfaces_, no_interfaces_;
    std::vector<channel_config> channels_;
};

/** Settings of a hub. What is not set is the default of rover_rtc_server_config. */
class server_config {
public:
    server_config() : raw_{}, init_(rover_rtc_server_config_init(&raw_, sizeof raw_)) {}

    /** Where HTTP listens: `address:port`, port 0 for any. Default "0.0.0.0:3000". */
    server_config &listen(std::string value) {
        listen_ = std::move(value);
        return *this;
    }
    /** Adds a UDP address: `address:port`, port 0 for any. Without any: a random port. */
    server_config &udp(std::string value) {
        udp_.push_back(std::move(value));
        return *this;
    }
    /** Adds an address under which others see the UDP address of the same place. */
    server_config &advertise(std::string value) {
        advertise_.push_back(std::move(value));
        return *this;
    }
    /** Adds a token, of which a peer has to show one to get a name. Without any: free names. */
    server_config &token(std::string value) {
        tokens_.push_back(std::move(value));
        return *this;
    }
    /** Directory in which the hub remembers whose a name is. Default none: until it ends. */
    server_config &state_dir(std::string value) {
        state_dir_ = std::move(value);
        return *this;
    }
    /** File of names and fingerprints: nobody else gets a name. Default none. */
    server_config &roster(std::string value) {
        roster_ = std::move(value);
        return *this;
    }
    /** Threads that serve, at most 64. Default 0: one for each core without udp(), else one. */
    server_config &shards(std::uint32_t value) {
        raw_.shards = value;
        return *this;
    }
    /** Whether datagrams between peers are relayed. Default true. */
    server_config &relay(bool value) {
        raw_.relay = value ? 1 : 0;
        return *this;
    }
    /** Clients in all. Default 10,000. */
    server_config &max_clients(std::uint32_t value) {
        raw_.max_clients = value;
        return *this;
    }
    /** Bytes per second relayed in each direction of a call; 0: no limit. Default 4,000,000. */
    server_config &relay_rate(std::uint64_t value) {
        raw_.relay_rate = value;
        return *this;
    }
    /** Time between the status messages to all clients. Default 5 s. */
    server_config &status_interval(std::chrono::milliseconds value) {
        raw_.status_interval_ms = detail::ms<std::uint32_t>(value);
        return *this;
    }

    /** Calls `use` with the C struct, which is valid during the call. */
    template <class Use> detail::verdict with_raw(Use use) const {
        detail::texts texts;
        rover_rtc_server_config raw = raw_;
        raw.listen = texts.one(listen_);
        raw.udp = texts.all(udp_, raw.udp_count);
        raw.advertise = texts.all(advertise_, raw.advertise_count);
        raw.tokens = texts.all(tokens_, raw.token_count);
        raw.state_dir = texts.one(state_dir_);
        raw.roster = texts.one(roster_);
        const detail::verdict checked = init_.failed() ? init_ : texts.checked();
        return checked.failed() ? checked : detail::verdict(use(&raw));
    }

private:
    rover_rtc_server_config raw_;
    detail::verdict init_;
    std::optional<std::string> listen_, state_dir_, roster_;
    std::vector<std::string> udp_, advertise_, tokens_;
};

/**
 * A channel of a link; a handle, see the top of this file. It stays the same across path changes,
 * outages and restarts. Its functions fail with status_code::bad_handle once its link or peer is
 * gone, and with status_code::closed once it is closed.
 */
class channel {
public:
    /** None. */
    constexpr channel() noexcept = default;
    /** That of rover_rtc.h. */
    explicit constexpr channel(rover_rtc_channel *handle) noexcept : handle_(handle) {}

    /** Whether it is one: not whether it still is. */
    explicit constexpr operator bool() const noexcept { return handle_ != nullptr; }
    /** For functions of rover_rtc.h. */
    constexpr rover_rtc_channel *handle() const noexcept { return handle_; }

    /**
     * Queues a binary message; never blocks. Fails with too_large, bad_message (empty, on a plain
     * channel), full (if its policy is to refuse) or not_stored.
     */
    outcome<sent> send(bytes_view data) const {
        return told(rover_rtc_channel_send(handle_, data.data(), data.size()));
    }
    /**
     * As send(), without a copy: for large messages. Takes the bytes if they are queued, and leaves
     * them where they are if not.
     */
    outcome<sent> send_owned(std::vector<std::uint8_t> &&data) const {
        auto held = std::make_unique<std::vector<std::uint8_t>>(std::move(data));
        const auto status = rover_rtc_channel_send_owned(handle_, held->data(), held->size(),
                                                         &channel::release, held.get());
        if (status == ROVER_RTC_OK) {
            static_cast<void>(held.release());
        } else {
            data = std::move(*held);
        }
        return told(status);
    }
    /** As send(), for text; fails with invalid if it is not UTF-8. */
    outcome<sent> send_text(std::string_view text) const {
        return told(rover_rtc_channel_send_text(handle_, text.data(), text.size()));
    }
    /**
     * As send(), for the newest value of a key (255 bytes at most), on a channel of mode::latest.
     */
    outcome<sent> send_keyed(bytes_view key, bytes_view data) const {
        return told(rover_rtc_channel_send_keyed(handle_, key.data(), key.size(), data.data(),
                                                 data.size()));
    }

    /**
     * Takes the next message into `buffer`, and what there is to know of it into `info`; false if
     * there is none now: event_kind::readable follows. Never blocks, allocates nothing. Fails with
     * too_small if the message does not fit: nothing was taken, and info.size() says how much room
     * it needs.
     */
    outcome<bool> recv(buffer_view buffer, message_info &info) const {
        const auto status =
            rover_rtc_channel_recv(handle_, buffer.data(), buffer.size(), info.raw());
        return detail::give(status, status == ROVER_RTC_OK);
    }

    /** Takes the next message, of any size; none if there is none now. Never blocks. */
    outcome<std::optional<message>> recv() const {
        std::uint8_t room[SMALL]; // Most messages need one allocation, of their size.
        std::vector<std::uint8_t> more;
        message_info info;
        auto status = rover_rtc_channel_recv(handle_, room, sizeof room, info.raw());
        // Another thread may take the message that was measured, so that a larger one is next.
        while (status == ROVER_RTC_TOO_SMALL) {
            more.resize(info.size());
            status = rover_rtc_channel_recv(handle_, more.data(), more.size(), info.raw());
        }
        std::optional<message> taken;
        if (status == ROVER_RTC_OK) {
            taken.emplace();
            more.resize(more.empty() ? 0 : info.size());
            taken->data = more.empty() ? std::vector<std::uint8_t>(room, room + info.size())
                                       : std::move(more);
            taken->key = std::string(info.key());
            taken->number = info.number();
            taken->is_text = info.is_text();
        }
        return detail::give(status, std::move(taken));
    }

    /**
     * Acknowledges the message of this number, with channel_config::manual_ack(). Fails with
     * not_found if no such message waits for it.
     */
    outcome<void> ack(std::uint64_t number) const {
        return detail::check(rover_rtc_channel_ack(handle_, number));
    }
    /**
     * Blocks until all messages queued so far on a durable channel are on disk; false: too late.
     */
    outcome<bool> wait_stored(std::chrono::milliseconds timeout) const {
        const auto status =
            rover_rtc_channel_wait_stored(handle_, detail::ms<std::uint32_t>(timeout));
        return detail::give(status, status == ROVER_RTC_OK);
    }
    /**
     * Blocks until the other side has acknowledged all messages queued so far; false: too late. On
     * channels without acknowledgements, until all are on their way. Fails with dropped if some were
     * dropped instead, of those that were queued since the last answer.
     */
    outcome<bool> wait_acknowledged(std::chrono::milliseconds timeout) const {
        const auto status =
            rover_rtc_channel_wait_acknowledged(handle_, detail::ms<std::uint32_t>(timeout));
        return detail::give(status, status == ROVER_RTC_OK);
    }

    /** Its label. */
    outcome<std::string> label() const {
        std::string text;
        const auto why = detail::read_text(text, [&](auto... place) {
            return rover_rtc_channel_label(handle_, place...);
        });
        return detail::give(why, std::move(text));
    }
    /** What waits in it. */
    outcome<queue_sizes> queued() const {
        queue_sizes sizes;
        const auto status = rover_rtc_channel_queued(handle_, &sizes.messages, &sizes.bytes,
                                                     &sizes.unacknowledged);
        return detail::give(status, sizes);
    }
    /** What it has counted. Waits for the peer's thread, some microseconds. */
    outcome<channel_statistics> statistics() const {
        channel_statistics counted;
        const auto status = rover_rtc_channel_stats(handle_, &counted);
        return detail::give(status, counted);
    }

    friend constexpr bool operator==(channel a, channel b) noexcept {
        return a.handle_ == b.handle_;
    }
    friend constexpr bool operator!=(channel a, channel b) noexcept { return !(a == b); }

private:
    static void release(void *held) noexcept {
        delete static_cast<std::vector<std::uint8_t> *>(held);
    }

    static constexpr std::size_t SMALL = 2048;

    static outcome<sent> told(rover_rtc_status status) {
        return detail::give(status, status == ROVER_RTC_AGAIN ? sent::no_room : sent::queued);
    }

    rover_rtc_channel *handle_ = nullptr;
};

/**
 * The lasting relation with another peer, or with the hub; a handle, see the top of this file. It
 * stays the same across path changes, outages and restarts. Its functions fail with
 * status_code::bad_handle once it is let go or its peer is gone.
 */
class link {
public:
    /** None. */
    constexpr link() noexcept = default;
    /** That of rover_rtc.h. */
    explicit constexpr link(rover_rtc_link *handle) noexcept : handle_(handle) {}

    /** Whether it is one: not whether it still is. */
    explicit constexpr operator bool() const noexcept { return handle_ != nullptr; }
    /** For functions of rover_rtc.h. */
    constexpr rover_rtc_link *handle() const noexcept { return handle_; }

    /** The other peer's name; empty for the hub. */
    outcome<std::string> name() const {
        std::string text;
        const auto why = detail::read_text(text, [&](auto... place) {
            return rover_rtc_link_name(handle_, place...);
        });
        return detail::give(why, std::move(text));
    }
    /**
     * The fingerprint of the other peer's key; none for the hub, and as long as it is not known.
     */
    outcome<std::optional<std::string>> fingerprint() const {
        return detail::find_text([&](auto... place) {
            return rover_rtc_link_fingerprint(handle_, place...);
        });
    }
    /** The channel of this label, whoever made it. Fails with not_found if there is none. */
    outcome<rover_rtc::channel> channel(const std::string &label) const {
        rover_rtc_channel *found = nullptr;
        const auto why = detail::with_text(label, [&](const char *text) {
            return rover_rtc_link_channel(handle_, text, &found);
        });
        return detail::give(why, rover_rtc::channel(found));
    }
    /**
     * Opens a further channel, which can be used at once: what is sent waits until it is open.
     * Fails with invalid for settings that cannot be. Waits for the peer's thread, some
     * microseconds.
     */
    outcome<rover_rtc::channel> open(const channel_config &config) const {
        rover_rtc_channel *opened = nullptr;
        const auto why = config.with_raw([&](const rover_rtc_channel_config *raw) {
            return rover_rtc_link_open(handle_, raw, &opened);
        });
        return detail::give(why, rover_rtc::channel(opened));
    }
    /** How it fares, and what it has counted. Waits for the peer's thread, some microseconds. */
    outcome<link_statistics> statistics() const {
        link_statistics counted;
        const auto status = rover_rtc_link_stats(handle_, &counted);
        return detail::give(status, counted);
    }
    /** Its paths. Waits for the peer's thread, some microseconds. */
    outcome<std::vector<path_statistics>> paths() const {
        std::vector<path_statistics> all(8);
        for (;;) {
            std::size_t count = all.size();
            all[0].struct_size = sizeof(path_statistics);
            const auto status = rover_rtc_link_paths(handle_, all.data(), &count);
            const bool fits = status < 0 || count <= all.size();
            all.resize(status < 0 ? 0 : count);
            if (fits) {
                return detail::give(status, std::move(all));
            }
        }
    }
    /** Begins to close it, and returns at once; event_kind::closed follows. */
    outcome<void> close() const { return detail::check(rover_rtc_link_close(handle_)); }
    /**
     * Closes it in the background, sending what is queued for at most a second, and makes its
     * handles (channels too) invalid at once. The link with the hub stays. Does nothing if that was
     * done before. May be called from callbacks.
     */
    void let_go() const noexcept { rover_rtc_link_free(handle_); }

    friend constexpr bool operator==(link a, link b) noexcept { return a.handle_ == b.handle_; }
    friend constexpr bool operator!=(link a, link b) noexcept { return !(a == b); }

private:
    rover_rtc_link *handle_ = nullptr;
};

/** Something that has happened to a link or channel of a peer. */
struct event {
    /** What; ignore those that you do not know. */
    event_kind kind = event_kind::state;
    /** The link; none for events of a channel only. */
    rover_rtc::link link;
    /** The channel, or none. */
    rover_rtc::channel channel;
    /** A number: see event_kind, and the functions below. */
    std::uint64_t value = 0;
    /** Another one. */
    std::uint64_t other = 0;
    /** A text of 255 bytes at most; empty for most kinds. */
    std::string text;

    /** Of event_kind::state: the state. */
    connection_state state() const noexcept { return static_cast<connection_state>(value); }
    /** Of event_kind::path_switch: what the new path goes through. */
    path_kind path() const noexcept { return static_cast<path_kind>(value); }
    /** Of event_kind::path_switch: why it carries the messages. */
    switch_cause cause() const noexcept { return static_cast<switch_cause>(other); }
    /** Of event_kind::disconnected: why. */
    disconnect_reason reason() const noexcept { return static_cast<disconnect_reason>(value); }
    /** Of event_kind::recovered: how long it took. */
    std::chrono::microseconds outage() const noexcept {
        return std::chrono::microseconds(static_cast<std::int64_t>(value));
    }
};

/**
 * A peer: its thread, its event queue, its link with the hub, and its links with other peers.
 * Destroying or replacing it sends what is queued, ends its thread, and may block for a second and
 * a half. After fork() it is of use in the parent only.
 */
class peer {
public:
    /** None: its functions fail with status_code::bad_handle. */
    peer() noexcept = default;
    peer(const peer &) = delete;
    peer &operator=(const peer &) = delete;
    peer(peer &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    peer &operator=(peer &&other) noexcept {
        if (this != &other) {
            free();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~peer() { free(); }

    /**
     * Starts a peer of a hub. It connects by itself, again and again: a hub that is down is an
     * event, no failure. Fails with invalid, server, network, identity or not_stored. May look up
     * names of files.
     */
    static outcome<peer> connect(const peer_config &config) {
        return start(config, [](const rover_rtc_peer_config *raw, rover_rtc_peer **made) {
            return rover_rtc_peer_new(raw, made);
        });
    }
    /** Starts a peer without a hub: bring description() to the other side, then accept_answer(). */
    static outcome<peer> offer(const peer_config &config) {
        return start(config, [](const rover_rtc_peer_config *raw, rover_rtc_peer **made) {
            return rover_rtc_peer_new_offer(raw, made);
        });
    }
    /**
     * Starts a peer without a hub that answers an offer: bring description() back. Fails with sdp.
     */
    static outcome<peer> answer(const peer_config &config, const std::string &offer) {
        return start(config, [&](const rover_rtc_peer_config *raw, rover_rtc_peer **made) {
            return detail::with_text(offer, [&](const char *text) {
                return detail::verdict(rover_rtc_peer_new_answer(raw, text, made));
            });
        });
    }

    /** Whether it is one. */
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /** For functions of rover_rtc.h. It stays owned by this object. */
    rover_rtc_peer *handle() const noexcept { return handle_; }

    /** Ends it now, as the destructor does. Other threads that wait for it fail with closed. */
    void free() noexcept {
        if (handle_ == nullptr) {
            return;
        }
        rover_rtc_peer *const ended = std::exchange(handle_, nullptr);
        rover_rtc_peer_free(ended);
        detail::callbacks::all().set_wake(ended, nullptr);
    }
    /** Begins to close all links, and returns at once; event_kind::closed of home() follows. */
    outcome<void> close() { return detail::check(rover_rtc_peer_close(handle_)); }

    /** The offer or answer of a peer without a hub; fails with not_found for one with a hub. */
    outcome<std::string> description() const {
        std::string text;
        const auto why = detail::read_text(text, [&](auto... place) {
            return rover_rtc_peer_description(handle_, place...);
        });
        return detail::give(why, std::move(text));
    }
    /** Takes the answer to what offer() offered. Fails with sdp. */
    outcome<void> accept_answer(const std::string &answer) {
        return detail::check(detail::with_text(answer, [&](const char *text) {
            return rover_rtc_peer_accept_answer(handle_, text);
        }));
    }
    /** The fingerprint of its own key, by which others know it; none without a name. */
    outcome<std::optional<std::string>> fingerprint() const {
        return detail::find_text([&](auto... place) {
            return rover_rtc_peer_fingerprint(handle_, place...);
        });
    }

    /** The link with the hub or, without a hub, with the other side. */
    outcome<link> home() const {
        rover_rtc_link *found = nullptr;
        const auto status = rover_rtc_peer_home(handle_, &found);
        return detail::give(status, link(found));
    }
    /**
     * Calls another peer of the hub and waits for nothing: the link is there at once, and comes up
     * when the other peer is there (event_kind::channel_open). What is sent meanwhile waits. A link
     * that there is already, whoever called, is the one. Fails with dial, invalid or closed. Waits
     * for the peer's thread, some microseconds.
     */
    outcome<link> call(const std::string &name) {
        rover_rtc_link *called = nullptr;
        const auto why = detail::with_text(name, [&](const char *text) {
            return rover_rtc_peer_call(handle_, text, &called);
        });
        return detail::give(why, link(called));
    }
    /** The same as call(), under the name that it had first. */
    outcome<link> dial(const std::string &name) { return call(name); }
    /** The link with the peer of this name, whoever called, or none. */
    outcome<std::optional<link>> find_link(const std::string &name) const {
        rover_rtc_link *found = nullptr;
        const auto why = detail::with_text(name, [&](const char *text) {
            return rover_rtc_peer_find_link(handle_, text, &found);
        });
        if (why.status == ROVER_RTC_NOT_FOUND) {
            return std::optional<link>();
        }
        return detail::give<std::optional<link>>(why, link(found));
    }

#ifndef _WIN32
    /**
     * A descriptor that is readable exactly while there are events. Add it to a poll or epoll set,
     * level-triggered, and do nothing else with it; it is closed with the peer. Fails with network.
     */
    outcome<int> fd() const {
        int found = -1;
        const auto status = rover_rtc_peer_fd(handle_, &found);
        return detail::give(status, found);
    }
#endif

    /** Waits until there are events; false if there are none after this time. Needs no fd(). */
    template <class Rep, class Period>
    outcome<bool> wait(std::chrono::duration<Rep, Period> timeout) const {
        const auto status = rover_rtc_peer_wait_us(handle_, detail::us(timeout));
        return detail::give(status, status == ROVER_RTC_OK);
    }
#ifndef _WIN32
    /**
     * As wait(), or until a descriptor of yours is readable, with false: give it your epoll descriptor,
     * and look into your set when it returns. Quicker than fd() in the set. Fails with invalid.
     */
    template <class Rep, class Period>
    outcome<bool> wait_fd(int fd, std::chrono::duration<Rep, Period> timeout) const {
        const auto status = rover_rtc_peer_wait_fd(handle_, fd, detail::us(timeout));
        return detail::give(status, status == ROVER_RTC_OK);
    }
#endif
    /** Waits until there are events, or another thread ends the peer, which fails with closed. */
    outcome<void> wait() const { return detail::check(rover_rtc_peer_wait(handle_, -1)); }
    /** Takes the next event; none if there is none. Never blocks. */
    outcome<std::optional<event>> next_event() {
        rover_rtc_event raw;
        raw.struct_size = sizeof raw;
        const auto status = rover_rtc_peer_next_event(handle_, &raw);
        std::optional<event> taken;
        if (status == ROVER_RTC_OK) {
            taken.emplace();
            taken->kind = static_cast<event_kind>(raw.kind);
            taken->link = link(raw.link);
            taken->channel = channel(raw.channel);
            taken->value = raw.value;
            taken->other = raw.other;
            taken->text = raw.text;
        }
        return detail::give(status, std::move(taken));
    }

    /**
     * Sets what is called when there are events after there were none, beside fd(); an empty
     * function ends that. It runs on the peer's thread, which waits for it: it should wake another
     * one and return, and must not throw (that ends the program). It may be called once more while
     * this returns, and not for events that were there before: look for those afterwards.
     */
    outcome<void> set_wake(std::function<void()> wake) {
        using detail::callbacks;
        const auto store = [&](auto next) {
            return callbacks::all().set_wake(handle_, std::move(next));
        };
        const auto tell = [&](bool on) {
            return rover_rtc_peer_set_wake(handle_, on ? &callbacks::call_wake : nullptr, handle_);
        };
        return detail::check(callbacks::replace(std::move(wake), store, tell));
    }

private:
    explicit peer(rover_rtc_peer *handle) noexcept : handle_(handle) {}

    template <class Make> static outcome<peer> start(const peer_config &config, Make make) {
        peer made;
        const auto why = config.with_raw([&](const rover_rtc_peer_config *raw) {
            return make(raw, &made.handle_);
        });
        return detail::give(why, std::move(made));
    }

    rover_rtc_peer *handle_ = nullptr;
};

/** How many clients a hub has. */
struct client_count {
    /** All. */
    std::size_t clients = 0;
    /** Those that are connected. */
    std::size_t connected = 0;
};

/**
 * A hub inside this process, with threads of its own. Destroying it ends them, and blocks for that.
 */
class server {
public:
    /** None: its functions fail with status_code::bad_handle. */
    server() noexcept = default;
    server(const server &) = delete;
    server &operator=(const server &) = delete;
    server(server &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    server &operator=(server &&other) noexcept {
        if (this != &other) {
            free();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~server() { free(); }

    /**
     * Opens the sockets and serves from now on. Fails with invalid, network, server or identity.
     */
    static outcome<server> start(const server_config &config) {
        server made;
        const auto why = config.with_raw([&](const rover_rtc_server_config *raw) {
            return rover_rtc_server_new(raw, &made.handle_);
        });
        return detail::give(why, std::move(made));
    }

    /** Whether it is one. */
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /** For functions of rover_rtc.h. It stays owned by this object. */
    rover_rtc_server *handle() const noexcept { return handle_; }

    /** Says good-bye to the clients and ends the hub's threads, as the destructor does. */
    void free() noexcept { rover_rtc_server_free(std::exchange(handle_, nullptr)); }

    /** Where HTTP listens: `address:port`. */
    outcome<std::string> address() const {
        std::string text;
        const auto why = detail::read_text(text, [&](auto... place) {
            return rover_rtc_server_address(handle_, place...);
        });
        return detail::give(why, std::move(text));
    }
    /** How it fares: a JSON object, as of `GET /v1/status`. Fails with closed if it has ended. */
    outcome<std::string> status() const {
        std::string text;
        const auto why = detail::read_text(text, [&](auto... place) {
            return rover_rtc_server_status(handle_, place...);
        });
        return detail::give(why, std::move(text));
    }
    /** How many clients it has. Fails with closed if it has ended. */
    outcome<client_count> count() const {
        client_count counted;
        const auto status =
            rover_rtc_server_count(handle_, &counted.clients, &counted.connected);
        return detail::give(status, counted);
    }

private:
    rover_rtc_server *handle_ = nullptr;
};

} // inline namespace

} // namespace rover_rtc

/** For links as keys of unordered containers. */
template <> struct std::hash<rover_rtc::link> {
    std::size_t operator()(rover_rtc::link value) const noexcept {
        return std::hash<const void *>()(value.handle());
    }
};

/** For channels as keys of unordered containers. */
template <> struct std::hash<rover_rtc::channel> {
    std::size_t operator()(rover_rtc::channel value) const noexcept {
        return std::hash<const void *>()(value.handle());
    }
};

#endif /* ROVER_RTC_HPP */
