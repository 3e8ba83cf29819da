package drivertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
)

// recorder stands between a driver and a device, and records every byte that the driver sends. It ends the TLS of
// cameras, as a device does, and reads the cipher of port 9999. What is encrypted under a key that only the
// conversation has, the device hands over: see Opener.
type recorder struct {
	to    netip.AddrPort
	certs *tls.Config // nil for a device without TLS

	mu     sync.Mutex // guards the fields below
	sent   map[net.Conn]*bytes.Buffer
	opened [][]byte

	moved error // the driver's error for the move
}

// open records a request that the device has decrypted.
func (r *recorder) open(request []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = append(r.opened, bytes.Clone(request))
}

// record starts a recorder in front of a device, and returns the address at which the driver is to find the device.
func record(d home.Device) (r *recorder, addr netip.AddrPort, stop func(), err error) {
	r = &recorder{to: d.Addr, sent: map[net.Conn]*bytes.Buffer{}}
	if d.Protocol == home.TapoCam || d.Protocol == home.KasaCam || d.Protocol == home.NC && d.Addr.Port()%1000 == 443 {
		if r.certs, err = ownCertificate(); err != nil {
			return nil, addr, nil, err
		}
	}
	addr, stop, err = listen(r.relay)
	return r, addr, stop, err
}

// ownCertificate makes a certificate as devices have it: signed by itself.
func ownCertificate() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// relay carries one connection in both directions.
func (r *recorder) relay(driver net.Conn) {
	defer driver.Close()
	device, err := net.Dial("tcp", r.to.String())
	if err != nil {
		return
	}
	defer device.Close()
	if r.certs != nil {
		driver = tls.Server(driver, r.certs)
		device = tls.Client(device, &tls.Config{
			InsecureSkipVerify: true, CipherSuites: post.CameraSuites(), MinVersion: tls.VersionTLS12,
		})
	}
	sent := &bytes.Buffer{}
	r.mu.Lock()
	r.sent[driver] = sent
	r.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(driver, device)
		_ = driver.Close()
	})
	b := make([]byte, 4096)
	for {
		n, err := driver.Read(b)
		r.mu.Lock()
		sent.Write(b[:n])
		r.mu.Unlock()
		if _, failed := device.Write(b[:n]); failed != nil || err != nil {
			break
		}
	}
	_ = device.Close()
	back.Wait()
}

// contains reports whether a request that the device handed over contains text.
func (r *recorder) contains(text []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.opened, func(request []byte) bool { return bytes.Contains(request, text) })
}

// disclosed returns an error that names a form in which a credential of c was sent.
func (r *recorder) disclosed(c home.Candidates) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	texts := slices.Clone(r.opened)
	for _, sent := range r.sent {
		texts = append(texts, sent.Bytes())
	}
	for _, text := range texts {
		for _, form := range forms(c) {
			if seen(text, form.bytes) {
				return fmt.Errorf("a device that may receive nothing was sent a secret of epoch %d: %s", form.epoch, form.name)
			}
		}
	}
	return nil
}

var errNothingSent = errors.New("the driver did not speak to the device by way of the recorder")

// spoken checks that something was recorded.
func (r *recorder) spoken() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sent) == 0 {
		return errNothingSent
	}
	return nil
}

// seen reports whether form was sent: as it is, in letters of any case, as a field of an HTML form, or in the cipher of
// port 9999, in which every byte is the XOR of the byte before it.
func seen(sent, form []byte) bool {
	opened := make([]byte, len(sent))
	for i := 1; i < len(sent); i++ {
		opened[i] = sent[i] ^ sent[i-1]
	}
	field, _ := url.QueryUnescape(string(sent)) // empty where that is no form
	for _, text := range [][]byte{sent, opened, []byte(field)} {
		if bytes.Contains(text, form) || bytes.Contains(bytes.ToLower(text), bytes.ToLower(form)) {
			return true
		}
	}
	return false
}

// form is a form in which a secret can be sent.
type form struct {
	epoch home.Epoch
	name  string
	bytes []byte
}

// forms returns the forms of all secrets of c: in the clear, as a hash without a nonce, and as what a KLAP device keeps
// in place of its credential; each of them as it is, in hex and in base64.
func forms(c home.Candidates) []form {
	var all []form
	own := md5.Sum([]byte(base64.StdEncoding.EncodeToString([]byte(c.DevicePassword.Reveal()))))
	if !c.DevicePassword.IsZero() {
		all = append(all, form{0, "the hash of the device's own", []byte(hex.EncodeToString(own[:]))})
	}
	for _, k := range append([]home.Credential{{Password: c.DevicePassword}}, c.Credentials...) {
		for _, secret := range []home.Secret{k.Password, k.EpochSecret} {
			if secret.IsZero() {
				continue
			}
			plain := []byte(secret.Reveal())
			by5, by1, by256 := md5.Sum(plain), sha1.Sum(plain), sha256.Sum256(plain)
			user5, user1 := md5.Sum([]byte(k.Username)), sha1.Sum([]byte(k.Username))
			klap1 := md5.Sum(append(user5[:], by5[:]...))
			klap2 := sha256.Sum256(append(user1[:], by1[:]...))
			for name, b := range map[string][]byte{
				"in the clear": plain, "MD5": by5[:], "SHA-1": by1[:], "SHA-256": by256[:],
				"the hash of KLAP 1": klap1[:], "the hash of KLAP 2": klap2[:],
			} {
				digits := hex.EncodeToString(b)
				for _, f := range []string{
					string(b), digits, base64.StdEncoding.EncodeToString(b), base64.StdEncoding.EncodeToString([]byte(digits)),
					base64.StdEncoding.EncodeToString([]byte(strings.ToUpper(digits))),
				} {
					all = append(all, form{k.Epoch, name, []byte(f)})
				}
			}
		}
	}
	return all
}
