package wire

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// The messages between a hub and the endpoint of a native device, over HTTP on the LAN.
var endpoint = []kind{
	{"probe", Endpoint, body[Probe]},
	{"statement", Endpoint, body[Statement]},
	{"join", Endpoint, body[Join]},
	{"notice", Endpoint, body[Passed]},
	{"done", Endpoint, body[Done]},
}

// Probe asks a device which epoch it holds.
type Probe struct {
	Nonce []byte `json:"nonce"` // 32 bytes
}

func (b *Probe) check() error {
	if len(b.Nonce) != nonceSize {
		return fmt.Errorf("nonce of %d bytes, want %d", len(b.Nonce), nonceSize)
	}
	return nil
}

// Statement answers Probe: what the device is, and a proof of the epoch that it holds.
type Statement struct {
	Keys     Keys   `json:"keys"`
	Kind     string `json:"kind"`
	Model    string `json:"model,omitempty"`
	Name     string `json:"name,omitempty"`
	Account  string `json:"account,omitempty"`          // empty when it belongs to none
	Epoch    uint64 `json:"epoch,omitempty,string"`     // the newest that it holds
	Held     []byte `json:"held,omitempty"`             // HeldProof for Epoch and the probe's nonce
	SignedIn uint64 `json:"signed_in,omitempty,string"` // the newest epoch at which the service signed it in
}

func (b *Statement) check() error {
	if b.Account != "" && !ValidName(b.Account) {
		return errName
	}
	return text(b.Kind, b.Model, b.Name)
}

// Join invites a device into the hub's account.
type Join struct {
	Sign   []byte `json:"sign"`   // the hub's signing key
	Sealed []byte `json:"sealed"` // a Joined, sealed to the device with JoinInfo
}

func (b *Join) check() error { return nil }

// Joined is what the seal of Join holds.
type Joined struct {
	Account string   `json:"account"`
	Service Keys     `json:"service"`
	Brokers []Broker `json:"brokers"` // tried in turn
	Notice  Notice   `json:"notice"`
}

// Broker is an MQTT broker that a member may connect to.
type Broker struct {
	URL         string `json:"url"`                   // mqtt, mqtts, ws or wss; may hold user and password
	Fingerprint []byte `json:"fingerprint,omitempty"` // SHA-256 of its certificate, for one that no authority signed
}

// pin stands in a URL between the URL of a broker and its fingerprint in hexadecimal digits.
const pin = "#sha256="

// Brokers returns brokers with these URLs, and the fingerprints in their fragments.
func Brokers(urls []string) []Broker {
	bs := make([]Broker, len(urls))
	for i, u := range urls {
		url, digits, _ := strings.Cut(u, pin)
		if fingerprint, err := hex.DecodeString(digits); err == nil && len(fingerprint) > 0 {
			bs[i] = Broker{url, fingerprint}
		} else {
			bs[i].URL = u
		}
	}
	return bs
}

// URLs returns the URLs of brokers, with their fingerprints as fragments.
func URLs(bs []Broker) []string {
	urls := make([]string, len(bs))
	for i, b := range bs {
		urls[i] = b.URL
		if len(b.Fingerprint) > 0 {
			urls[i] += pin + hex.EncodeToString(b.Fingerprint)
		}
	}
	return urls
}

// Passed hands a device the newest notice.
type Passed struct {
	Notice Notice `json:"notice"`
}

func (b *Passed) check() error { return b.Notice.check() }

// Done answers Join and Passed.
type Done struct {
	Code string `json:"code,omitempty"` // empty when it was accepted
}

func (b *Done) check() error { return text(b.Code) }
