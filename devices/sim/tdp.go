package sim

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"hash/crc32"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/cbc"
)

// The ports on which devices of the newer protocols are looked for: devices/PROTOCOLS.md, section 6.2. Which of them
// listens where is not known: here the newest are on the second.
const (
	tdpPort    = 20002
	tdpNewPort = 20004
)

// discoverable answers discovery probes.
type discoverable interface {
	statement() tdpStatement
}

// tdpStatement is the description that a device answers, and the part of it that only clients with a key receive.
type tdpStatement struct {
	port   uint16
	open   map[string]any
	hidden map[string]any // of cameras; nil for none
}

// tdpHeader is that of questions and answers.
const (
	tdpHeader = 16
	tdpSeed   = 0x5A6B7C8D
)

// tdpQuestion is a question that was understood: its serial number, and the key under which to hide, nil where none was
// given.
type tdpQuestion struct {
	serial uint32
	key    *rsa.PublicKey
}

// readTDP reads a question; ok is false for anything else, a wrong checksum or length included.
func readTDP(p []byte) (q tdpQuestion, ok bool) {
	if len(p) < tdpHeader || p[0] != 2 || binary.BigEndian.Uint16(p[2:]) != 1 ||
		int(binary.BigEndian.Uint16(p[4:])) != len(p)-tdpHeader {
		return q, false
	}
	p = bytes.Clone(p)
	sum := binary.BigEndian.Uint32(p[12:])
	binary.BigEndian.PutUint32(p[12:], tdpSeed)
	if crc32.ChecksumIEEE(p) != sum {
		return q, false
	}
	q.serial = binary.BigEndian.Uint32(p[8:])
	if len(p) == tdpHeader {
		return q, true
	}
	var body struct {
		Params struct {
			Key string `json:"rsa_key"`
		} `json:"params"`
	}
	if json.Unmarshal(p[tdpHeader:], &body) != nil {
		return q, false
	}
	if block, _ := pem.Decode([]byte(body.Params.Key)); block != nil {
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			q.key, _ = key.(*rsa.PublicKey)
		}
	}
	return q, true
}

// answer is the reply of a device with this statement.
func (q tdpQuestion) answer(s tdpStatement) ([]byte, error) {
	if s.hidden != nil && q.key != nil {
		info, err := hide(q.key, s.hidden)
		if err != nil {
			return nil, err
		}
		s.open["encrypt_info"] = info
	}
	body := encode(result(0, s.open))
	p := make([]byte, tdpHeader, tdpHeader+len(body))
	p[0], p[3], p[6] = 2, 1, 0x22
	binary.BigEndian.PutUint16(p[4:], uint16(len(body)))
	binary.BigEndian.PutUint32(p[8:], q.serial)
	binary.BigEndian.PutUint32(p[12:], tdpSeed)
	p = append(p, body...)
	binary.BigEndian.PutUint32(p[12:], crc32.ChecksumIEEE(p))
	return p, nil
}

// hide encrypts the part of a statement that needs a key.
func hide(key *rsa.PublicKey, what map[string]any) (map[string]any, error) {
	secret := make([]byte, 2*aes.BlockSize)
	_, _ = rand.Read(secret) // never fails
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, secret, nil)
	if err != nil {
		return nil, err
	}
	data := cbc.Seal(secret[:aes.BlockSize], secret[aes.BlockSize:], encode(what))
	enc := base64.StdEncoding.EncodeToString
	return map[string]any{"sym_schm": "AES", "key": enc(sealed), "data": enc(data)}, nil
}

// statement returns the fields that all these devices state.
func statement(s Spec, mac net.HardwareAddr, typ, model, username string) map[string]any {
	id := md5.Sum([]byte("device " + mac.String()))
	return map[string]any{
		"device_id": hex.EncodeToString(id[:]), "device_type": typ, "device_model": model + "(EU)", "ip": s.Addr.String(),
		"mac": dashed(mac), "factory_default": username == "",
		"is_support_iot_cloud": true, "obd_src": "tplink",
	}
}

// ownerOf is the owner that a device states, in upper case as most do.
func ownerOf(username string) string {
	if username == "" {
		return ""
	}
	h := md5.Sum([]byte(username))
	return strings.ToUpper(hex.EncodeToString(h[:]))
}

// webScheme is how a device is spoken to over HTTP.
func webScheme(encrypt string, port uint16, lv int) map[string]any {
	m := map[string]any{"is_support_https": false, "encrypt_type": encrypt, "http_port": port}
	if lv > 0 {
		m["lv"] = lv
	}
	return m
}

func (d *smart) statement() tdpStatement {
	username, _ := d.holds()
	typ := map[home.Kind]string{
		home.Plug: "SMART.TAPOPLUG", home.Switch: "SMART.TAPOSWITCH",
		home.Bulb: "SMART.TAPOBULB",
	}[d.spec.Kind]
	open := statement(d.spec, d.mac, typ, d.spec.Model, username)
	open["owner"] = ownerOf(username)
	encrypt, lv := "KLAP", 2
	if d.spec.Protocol == home.SmartAES {
		encrypt = "AES"
	}
	if d.spec.has(Lv1) {
		lv = 0 // such a device states none
	}
	open["mgt_encrypt_schm"] = webScheme(encrypt, webPort(home.KLAP2.Port()), lv)
	return tdpStatement{port: tdpPort, open: open}
}

func (d *tapocam) statement() tdpStatement {
	d.mu.Lock()
	username := d.username
	d.mu.Unlock()
	open := statement(d.spec, d.mac, "SMART.IPCAMERA", d.spec.Model, username)
	open["device_name"], open["encrypt_type"], open["firmware_version"] = d.spec.Name, []string{"3"},
		"1.4.0 Build 240101 Rel.12345n"
	open["mgt_encrypt_schm"] = map[string]any{"is_support_https": true}
	return tdpStatement{port: tdpPort, open: open, hidden: map[string]any{
		"owner": ownerOf(username), "http_port": webPort(home.TapoCam.Port()), "connect_ssid": "home",
		"connect_type": "wireless", "sd_status": "offline", "last_alarm_type": "",
	}}
}

// findable is a device that is on and can be looked for there.
type findable struct {
	socket
	d   *Device
	udp *net.UDPConn
}

// plug opens the device's sockets.
func (d *Device) plug() (socket, error) {
	s, err := d.body.plug()
	t, found := d.body.(discoverable)
	if err != nil || !found || d.spec.listen != nil {
		return s, err
	}
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.spec.Addr, t.statement().port)))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &findable{s, d, udp}, nil
}

// findable returns the device's sockets where it is on and can be looked for.
func (d *Device) findable() (*findable, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.on == nil {
		return nil, false
	}
	f, ok := d.on.socket.(*findable)
	return f, ok
}

func (f *findable) Close() error { return errors.Join(f.socket.Close(), f.udp.Close()) }

// serve answers discovery probes beside the device's own protocol.
func (f *findable) serve(ctx context.Context) {
	var asked sync.WaitGroup
	asked.Go(func() {
		b := make([]byte, maxRequest)
		for {
			n, from, err := f.udp.ReadFromUDPAddrPort(b)
			if err != nil {
				if errors.Is(err, net.ErrClosed) || !pause(ctx, time.Millisecond) {
					return
				}
				continue
			}
			if q, ok := readTDP(b[:n]); ok {
				f.answer(q, from)
			}
		}
	})
	f.socket.serve(ctx)
	_ = f.udp.Close()
	asked.Wait()
}

// answer answers a question, from the device's own address.
func (f *findable) answer(q tdpQuestion, to netip.AddrPort) {
	s := f.d.body.(discoverable).statement()
	if raw, err := q.answer(s); err == nil {
		_, _ = f.udp.WriteToUDPAddrPort(raw, to)
	}
}
