package home

import "slices"

// Protocol names the driver that speaks to a device. It is empty for a device that was only seen announced.
type Protocol string

// The protocols that are distinguished. Their wire facts stand in devices/PROTOCOLS.md, section 3.
const (
	IOT      Protocol = "iot"       // Kasa, XOR on port 9999
	IOTKLAP2 Protocol = "iot-klap2" // IOT commands over KLAP version 2
	KasaCam  Protocol = "kasacam"   // Kasa cameras, LINKIE
	KLAP1    Protocol = "klap1"     // IOT commands over KLAP version 1
	KLAP2    Protocol = "klap2"     // SMART commands over KLAP version 2
	NC       Protocol = "nc"        // cameras of the NC class, which work with the tpCamera app only
	Native   Protocol = "native"    // the link protocol itself: devices/native/README.md
	SmartAES Protocol = "smart-aes" // SMART commands over AES securePassthrough
	TapoCam  Protocol = "tapocam"   // Tapo cameras, SSL-AES
	TPAP     Protocol = "tpap"      // SPAKE2+
)

// ProofRank orders conversations by what a device has proved when it receives a secret. A higher rank is the stronger
// proof.
type ProofRank uint8

// The ranks. The zero rank is that of an unknown protocol.
const (
	ToldFirst   ProofRank = iota + 1 // the device receives the password, and can prove nothing
	HashFirst                        // the device receives a hash as good as the password, and answers whether it is right
	ProvesFirst                      // the device proves that it holds a credential before it receives a secret
)

// String returns the rank's name: "told-first", "hash-first", "proves-first", or "no-proof".
func (r ProofRank) String() string {
	switch r {
	case ToldFirst:
		return "told-first"
	case HashFirst:
		return "hash-first"
	case ProvesFirst:
		return "proves-first"
	}
	return "no-proof"
}

// ProtocolInfo is a row of the table of protocols.
type ProtocolInfo struct {
	Name       Protocol
	Port       uint16    // the TCP port, where a device does not announce another one
	Rank       ProofRank // of current firmware; a Finding lowers it for one device: see Finding.ProofRank
	Cleartext  bool      // the password crosses the LAN nearly in the clear, or to a device that proves nothing
	Driverless bool      // recognised and reported only: no way is known to give such a device a password
	Ordered    bool      // moved only when the owner orders a try: that such a device accepts the command is a guess
	OwnLogin   bool      // opened with a password of its own, which its owner gives: see Candidates.DevicePassword
}

// protocols is never changed. It is in the order of the names.
var protocols = []ProtocolInfo{
	{Name: IOT, Port: 9999, Rank: ToldFirst, Cleartext: true},
	{Name: IOTKLAP2, Port: 80, Rank: ProvesFirst},
	{Name: KasaCam, Port: 10443, Rank: ToldFirst, Driverless: true},
	{Name: KLAP1, Port: 80, Rank: ProvesFirst},
	{Name: KLAP2, Port: 80, Rank: ProvesFirst},
	{Name: Native, Port: 7356, Rank: ProvesFirst},
	{Name: NC, Port: 80, Rank: ToldFirst, Cleartext: true, OwnLogin: true},
	{Name: SmartAES, Port: 80, Rank: ToldFirst, Cleartext: true},
	{Name: TapoCam, Port: 443, Rank: ProvesFirst},
	{Name: TPAP, Port: 443, Rank: ProvesFirst, Ordered: true},
}

// Protocols returns the table of protocols, in the order of their names.
func Protocols() []ProtocolInfo { return slices.Clone(protocols) }

// Info returns the protocol's row of the table, the zero row for an unknown protocol.
func (p Protocol) Info() ProtocolInfo {
	for _, row := range protocols {
		if row.Name == p {
			return row
		}
	}
	return ProtocolInfo{}
}

// Port returns the protocol's default TCP port, 0 for an unknown protocol.
func (p Protocol) Port() uint16 { return p.Info().Port }

// Cleartext reports whether the password crosses the LAN nearly in the clear, or to a device that proves nothing: the
// owner's CleartextConsent is needed. Old firmware of other protocols can need it, too: its Finding has a lower rank
// than the table.
func (p Protocol) Cleartext() bool { return p.Info().Cleartext }
