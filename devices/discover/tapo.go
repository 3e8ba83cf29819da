package discover

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math/rand/v2"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Tapo returns the probes that Tapo devices and newer Kasa devices answer, on ports 20002 and 20004:
// devices/PROTOCOLS.md, section 6.2. Each is asked in two forms, one with a key for cameras to hide their owner under,
// and the older one without a key; some firmware answers only one of the two.
func Tapo() []Probe {
	k := &probeKey{}
	return []Probe{tapo{20002, k}, tapo{20004, k}}
}

// tapo is the probe of port 20002 or 20004. Probes that share a key ask for the hidden part, too.
type tapo struct {
	port uint16
	key  *probeKey
}

func (t tapo) Port() uint16 { return t.port }

// prepare makes the key, once for all the probes that share it. Until it is there the shorter question is asked alone.
func (t tapo) prepare() { t.key.make() }

// ready reports whether the longer question is asked.
func (t tapo) ready() bool { return t.key.public() != "" }

// Datagrams implements Probe: the short question, and the long one once there is a key for it.
func (t tapo) Datagrams() [][]byte {
	all := [][]byte{packet(0, nil)}
	if pem := t.key.public(); pem != "" {
		question, err := json.Marshal(map[string]any{"params": map[string]string{"rsa_key": pem}})
		if err != nil {
			panic("a question of texts: " + err.Error())
		}
		all = append(all, packet(rand.Uint32(), question))
	}
	return all
}

// The header of questions and replies: version, type, operation, length of what follows, flags, serial number,
// checksum.
const (
	headerSize   = 16
	tapoVersion  = 2
	checksumSeed = 0x5A6B7C8D // stands for the checksum while that is computed
)

// packet is a question in its header. One that asks nothing has flags and serial of zero, as it was seen.
func packet(serial uint32, payload []byte) []byte {
	p := make([]byte, headerSize, headerSize+len(payload))
	p[0] = tapoVersion
	binary.BigEndian.PutUint16(p[2:], 1)
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	if len(payload) > 0 {
		p[6] = 0x11
	}
	binary.BigEndian.PutUint32(p[8:], serial)
	binary.BigEndian.PutUint32(p[12:], checksumSeed)
	p = append(p, payload...)
	binary.BigEndian.PutUint32(p[12:], crc32.ChecksumIEEE(p))
	return p
}

// tapoReply is the reply of a device, as far as it is read.
type tapoReply struct {
	Type    string `json:"device_type"`
	Model   string `json:"device_model"`
	Name    string `json:"device_name"` // the owner's, of cameras
	MAC     string `json:"mac"`
	Owner   *string
	Factory bool     `json:"factory_default"`
	Encrypt []string `json:"encrypt_type"` // of cameras
	Scheme  scheme   `json:"mgt_encrypt_schm"`
	TPAP    struct {
		TLS  int    `json:"tls"`
		Port uint16 `json:"port"`
	} `json:"tpap"`
	Hidden *hidden `json:"encrypt_info"`
}

// scheme is the transport of a device.
type scheme struct {
	HTTPS   bool            `json:"is_support_https"`
	Encrypt string          `json:"encrypt_type"`
	Port    uint16          `json:"http_port"`
	Level   int             `json:"lv"`
	NewKLAP json.RawMessage `json:"new_klap"` // 1, or true
}

// unshown are the names of fields that a sighting has in another form, or that are not to be shown. See extra.
var unshown = map[string]bool{
	"device_type": true, "device_model": true, "device_name": true, "mac": true, "ip": true, "owner": true,
	"factory_default": true,
	"encrypt_info":    true, "http_port": true,
	"connect_ssid": true, "key": true, "setup_code": true, "setup_payload": true,
}

// Read takes what stands behind the header for the reply. Of the header only the version is looked at: whether real
// replies have a checksum that holds is not known.
func (t tapo) Read(reply []byte) (home.Sighting, error) {
	if len(reply) <= headerSize || reply[0] != tapoVersion {
		return home.Sighting{}, errNoReply
	}
	var a struct {
		Code   int             `json:"error_code"`
		Result json.RawMessage `json:"result"`
	}
	if json.Unmarshal(reply[headerSize:], &a) != nil || a.Code != 0 {
		return home.Sighting{}, errNoReply
	}
	r, fields, err := parseTapo(a.Result)
	if err != nil {
		return home.Sighting{}, errNoReply
	}
	if r.Hidden != nil {
		if more, err := t.key.open(*r.Hidden); err == nil {
			r.reveal(more, fields)
		}
	}
	return r.sighting(fields)
}

// parseTapo reads a reply field by field: firmware differs in the types of some, and one that is of another type is as
// if it were not there.
func parseTapo(raw []byte) (*tapoReply, map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return nil, nil, errNoReply
	}
	r := &tapoReply{}
	for name, into := range map[string]any{
		"device_type": &r.Type, "device_model": &r.Model, "device_name": &r.Name, "mac": &r.MAC,
		"factory_default":  &r.Factory,
		"mgt_encrypt_schm": &r.Scheme, "encrypt_info": &r.Hidden, "tpap": &r.TPAP,
	} {
		_ = json.Unmarshal(fields[name], into)
	}
	var owner *string
	if json.Unmarshal(fields["owner"], &owner) == nil {
		r.Owner = owner
	}
	if json.Unmarshal(fields["encrypt_type"], &r.Encrypt) != nil {
		var one string
		if json.Unmarshal(fields["encrypt_type"], &one) == nil {
			r.Encrypt = []string{one}
		}
	}
	return r, fields, nil
}
