//! What the HTTP front answers.

use super::*;

#[tokio::test]
async fn get_and_post() {
    let server = serve(|exchange| {
        let seen = format!(
            "{} {} {:?} {:?} {}",
            exchange.method(),
            exchange.path(),
            exchange.query(),
            exchange.header("Content-TYPE"),
            String::from_utf8_lossy(exchange.body()),
        );
        exchange.respond(Reply::text(201, seen).header("Location", "/v1/sessions/7"));
    })
    .await;
    let got = get(server.local_addr(), "/a%20b?c=d?e").await;
    assert_eq!(got.status(), 201);
    assert_eq!(got.text(), "GET /a%20b Some(\"c=d?e\") None ");
    assert!(got.head.contains("\r\nLocation: /v1/sessions/7\r\n"), "{}", got.head);
    assert!(got.head.contains("\r\nConnection: close\r\n"), "{}", got.head);
    assert!(!got.head.contains("tiny"), "{}", got.head);

    let post = b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n\
        Content-Length: 2\r\n\r\n{}";
    let got = send(server.local_addr(), post).await;
    assert_eq!(got.text(), "POST / None Some(\"application/json\") {}");
    server.shutdown().await;
}

#[tokio::test]
async fn bodies_of_every_size() {
    let server = serve(|exchange| {
        let body = exchange.body().to_vec();
        exchange.respond(Reply::typed(200, "application/octet-stream", body));
    })
    .await;
    for len in [0, 1, 1023, 1024, 1025, 40_000, 65_536] {
        let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let head = format!("POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: {len}\r\n\r\n");
        let got = send(server.local_addr(), [head.as_bytes(), &body].concat()).await;
        assert_eq!(got.status(), 200);
        assert!(got.body == body, "{len}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_long_poll_is_answered_from_another_thread() {
    let (held, polls) = mpsc::channel::<Exchange>();
    let answering = thread::spawn(move || {
        for poll in polls {
            thread::sleep(Duration::from_millis(200));
            assert!(!poll.is_abandoned());
            poll.respond(Reply::json(200, &vec![1, 2, 3]));
        }
    });
    let server = serve(move |exchange| match exchange.path() {
        "/poll" => held.send(exchange).unwrap(),
        _ => exchange.respond(Reply::empty(204)),
    })
    .await;
    let started = Instant::now();
    let (poll, other) =
        tokio::join!(get(server.local_addr(), "/poll"), get(server.local_addr(), "/"));
    assert_eq!((poll.status(), poll.text()), (200, "[1,2,3]"));
    assert!(poll.head.contains("\r\nContent-Type: application/json\r\n"));
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!((other.status(), other.body.len()), (204, 0));
    assert!(!other.head.contains("Content-Length"));
    server.shutdown().await;
    answering.join().unwrap();
}

/// On a runtime of one thread, which is also the guard's.
#[tokio::test(flavor = "current_thread")]
async fn a_large_answer_does_not_block_the_task_that_gives_it() {
    let (held, mut polls) = tokio::sync::mpsc::unbounded_channel::<Exchange>();
    let server = serve(move |exchange| held.send(exchange).unwrap()).await;
    let answering = async {
        let poll = polls.recv().await.unwrap();
        poll.respond(Reply::html(200, "x".repeat(8 << 20)));
    };
    let (got, ()) = tokio::join!(get(server.local_addr(), "/"), answering);
    assert_eq!((got.status(), got.body.len()), (200, 8 << 20));
    server.shutdown().await;
}

#[tokio::test]
async fn a_handler_that_drops_or_panics_costs_one_request() {
    let server = serve(|exchange| match exchange.path() {
        "/drop" => {}
        "/panic" => panic!("this panic is part of a test"),
        _ => exchange.respond(Reply::text(200, "fine")),
    })
    .await;
    for path in ["/drop", "/panic"] {
        let got = get(server.local_addr(), path).await;
        assert_eq!(got.status(), 500);
        assert!(got.text().starts_with("{\"error\":\""));
    }
    assert_eq!(get(server.local_addr(), "/").await.text(), "fine");
    server.shutdown().await;
}

#[tokio::test]
async fn only_known_headers_arrive_and_the_peer_is_real() {
    let server = serve(|exchange| {
        let names = ["authorization", "cookie", "x-rover-name", "x-rover-internal-ticket"];
        let seen: Vec<_> = names.iter().map(|it| exchange.header(it)).collect();
        let seen = format!("{seen:?} {}", exchange.remote());
        exchange.respond(Reply::text(200, seen));
    })
    .await;
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer a\r\nCookie: b\r\n\
        X-Rover-Name: c\r\nX-Rover-Internal-Ticket: d\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let local = stream.local_addr().unwrap();
    let expected = format!("[Some(\"Bearer a\"), None, Some(\"c\"), None] {local}");
    assert_eq!(read_response(&mut stream).await.text(), expected);
    server.shutdown().await;
}

#[tokio::test]
async fn head_gets_a_length_and_no_body() {
    let server = serve(|exchange| exchange.respond(Reply::text(200, "hello"))).await;
    let got = send(server.local_addr(), "HEAD / HTTP/1.0\r\n\r\n").await;
    assert_eq!((got.status(), got.body.len()), (200, 0));
    assert!(got.head.contains("\r\nContent-Length: 5\r\n"));
    server.shutdown().await;
}

#[tokio::test]
async fn expect_continue() {
    let server = serve(|exchange| {
        let body = exchange.body().to_vec();
        exchange.respond(Reply::typed(200, "text/plain", body));
    })
    .await;
    let head = |len: u64| {
        format!(
            "POST / HTTP/1.1\r\nHost: hub\r\nExpect: 100-continue\r\n\
             Content-Length: {len}\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(head(5).as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    timeout(SOON, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(read_response(&mut stream).await.text(), "hello");

    let refused = send(server.local_addr(), head(100_000_000_000)).await;
    assert_eq!(refused.status(), 413);
    server.shutdown().await;
}

#[tokio::test]
async fn bad_requests_are_refused_and_read() {
    let server = serve(|exchange| exchange.respond(Reply::empty(200))).await;
    let with = |lines: &str| format!("POST / HTTP/1.1\r\nHost: hub\r\n{lines}\r\n\r\nhello");
    let long = "a".repeat(20_000);
    let cases = [
        (400, with("Content-Length: +5")),
        (400, with("Content-Length: -5")),
        (400, with("Content-Length: 5\r\nContent-Length: 5")),
        (400, with("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        (400, "GET / HTTP/2.0\r\nHost: hub\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "\x16\x03\x01\x02\x00\x01".to_owned()),
        (411, with("Transfer-Encoding: chunked")),
        (413, with("Content-Length: 65537")),
        (413, with("Content-Length: 100000000000")),
        (413, with("Content-Length: 18446744073709551616")),
        (414, format!("GET /{long} HTTP/1.1\r\nHost: hub\r\n\r\n")),
        (417, with("Expect: miracles\r\nContent-Length: 5")),
        (431, with(&format!("X-Long: {long}"))),
        (501, with("Transfer-Encoding: gzip, chunked")),
    ];
    for (status, request) in cases {
        let got = send(server.local_addr(), &request).await;
        assert_eq!(got.status(), status, "{}", &request[..request.len().min(80)]);
        assert!(got.text().starts_with("{\"error\":\""), "{got:?}");
    }
    // A body that is under way anyway does not cost the client its answer.
    let body = vec![b'x'; 60_000];
    let head = "POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 70000\r\n\r\n";
    let got = send(server.local_addr(), [head.as_bytes(), &body].concat()).await;
    assert_eq!(got.status(), 413);
    server.shutdown().await;
}

#[tokio::test]
async fn a_pipelined_request_is_ignored() {
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let server = serve(move |exchange| {
        *counted.lock().unwrap() += 1;
        exchange.respond(Reply::text(200, "one"));
    })
    .await;
    let got = send(server.local_addr(), "GET / HTTP/1.1\r\nHost: hub\r\n\r\n".repeat(9)).await;
    assert_eq!((got.status(), got.text()), (200, "one"));
    assert_eq!(*calls.lock().unwrap(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_that_half_closes_gets_its_answer() {
    let server = serve(|exchange| {
        thread::sleep(Duration::from_millis(100));
        exchange.respond(Reply::text(200, "still here"));
    })
    .await;
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_response(&mut stream).await.text(), "still here");
    server.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let mut limits = HttpLimits::default();
    limits.response_timeout = Duration::from_millis(200);
    let (held, polls) = mpsc::channel::<Exchange>();
    let handler = move |exchange| held.send(exchange).unwrap();
    let server = HttpServer::bind(ANY_PORT, limits, handler).await.unwrap();
    assert_eq!(get(server.local_addr(), "/").await.status(), 504);
    let late = polls.recv().unwrap();
    assert!(late.is_abandoned());
    late.respond(Reply::empty(200));
    server.shutdown().await;
}

#[tokio::test]
async fn a_full_hub_says_so() {
    let mut limits = HttpLimits::default();
    limits.max_connections = 2;
    let (held, polls) = mpsc::channel::<Exchange>();
    let handler = move |exchange| held.send(exchange).unwrap();
    let server = HttpServer::bind(ANY_PORT, limits, handler).await.unwrap();
    let addr = server.local_addr();
    let first = tokio::spawn(async move { get(addr, "/").await });
    let second = tokio::spawn(async move { get(addr, "/").await });
    let held = loop {
        sleep(Duration::from_millis(5)).await;
        if let (Ok(one), Ok(two)) = (polls.try_recv(), polls.recv()) {
            break [one, two];
        }
    };
    let third = get(addr, "/").await;
    assert_eq!(third.status(), 503);
    assert!(third.head.contains("\r\nRetry-After: 1\r\n"));
    held.into_iter().for_each(|poll| poll.respond(Reply::empty(200)));
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(second.await.unwrap().status(), 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_taken_port_is_explained() {
    let server = serve(drop).await;
    let addr = server.local_addr();
    let error = HttpServer::bind(addr, HttpLimits::default(), drop).await.unwrap_err();
    assert!(matches!(error, HttpError::Listen { .. }));
    let text = error.to_string();
    assert!(text.contains(&addr.to_string()) && text.contains("choose another port"), "{text}");
    server.shutdown().await;
    // And free again afterwards.
    HttpServer::bind(addr, HttpLimits::default(), drop).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn shutdown_ends_everybody_within_a_second() {
    let (held, polls) = mpsc::channel::<Exchange>();
    let server = serve(move |exchange| held.send(exchange).unwrap()).await;
    let addr = server.local_addr();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let poll = tokio::spawn(async move { get(addr, "/").await });
    while polls.try_recv().map(std::mem::forget).is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    server.shutdown().await;
    assert!(started.elapsed() < Duration::from_millis(1200), "{:?}", started.elapsed());
    assert_eq!(poll.await.unwrap().status(), 503);
    let _ = timeout(SOON, idle.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}
