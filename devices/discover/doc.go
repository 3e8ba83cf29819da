// Package discover finds devices on the LAN: by mDNS first, then by the UDP probes that some of them answer.
//
// Two parts share the work of mDNS.
//
// github.com/grandcat/zeroconf asks and announces. Each sweep browses for every service type of the table, with a fresh
// resolver for each: after the first sweeps these are the only questions for service types, so a device that appears in
// silence is found by them. Its server announces this hub and native devices: cloudlink/announce.
//
// The completer receives and completes. zeroconf v1.0.0 reports an instance only when the PTR or SRV record and an
// address come in the same packet; it drops a packet with one malformed record; it reports no goodbye, no expiry and no
// changed address; it does not report the interface of an answer; and it stops asking after its first answer
// (devices/PROTOCOLS.md, section 13.4). The completer therefore listens on its own sockets, reads packets record by
// record, assembles instances over packets (book), asks for missing records by name, and repeats the questions of the
// first sweeps, and those that brought something new, with the known answers. An instance that zeroconf found is a
// hint: the completer asks for its records, and reports nothing that it has not received itself over an allowed
// interface.
//
// Each part has a test that fails without it: TestLaterSweepsFindASilentDevice for zeroconf, the test of
// cloudlink/announce for its server, and TestFindsEveryStyleOfHost, TestNoticesWhoLeavesAndWhoMoves and
// TestForgedAnswersAreNotBelieved for the completer.
//
// All results are home.Sightings: hints. A device proves its identity to its driver.
package discover
