//! What several test suites share.

/// Says that a test is skipped because something is not there; always true. With
/// `ROVER_RTC_REQUIRE=all` that is a failure.
pub fn missing(what: &str) -> bool {
    let required = std::env::var("ROVER_RTC_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "missing: {what}");
    println!("skipped: {what}");
    true
}
