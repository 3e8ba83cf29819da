package nc

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/keyring"
	"github.com/rekeyd/rekeyd/devices/nameplate"
	"github.com/rekeyd/rekeyd/devices/post"
)

// tlsPort is where NC260 and NC450 serve their web interface.
const tlsPort = 443

// conn is a conversation with one camera.
type conn struct {
	d    *Driver
	dev  home.Device
	tls  bool // the generation that speaks TLS, and takes a hash of its own password
	http *post.Client
	slow *post.Client // waits as long as a bind may take
}

func (d *Driver) connect(dev home.Device) *conn {
	c := &conn{d: d, dev: dev}
	c.dial(dev.Addr.Port() == tlsPort)
	return c
}

// dial chooses a transport for the requests that follow.
func (c *conn) dial(tls bool) {
	if c.http != nil {
		c.close()
	}
	c.tls = tls
	o := post.Options{TLS: tls, Suites: post.CameraSuites(), Timeout: c.d.o.Timeout, Dial: c.d.o.Dial}
	c.http = post.New(c.dev.Addr, o)
	o.Timeout = c.d.o.BindTimeout
	c.slow = post.New(c.dev.Addr, o)
}

func (c *conn) close() {
	c.http.Close()
	c.slow.Close()
}

// ask sends a form and reads the answer.
func (c *conn) ask(ctx context.Context, with *post.Client, path string, form url.Values, cookie string) (
	answer, http.Header, error,
) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if cookie != "" {
		header.Set("Cookie", "sess="+cookie)
	}
	a, err := with.Send(ctx, path, header, []byte(form.Encode()))
	if err != nil {
		return answer{}, nil, err
	}
	switch a.Status {
	case http.StatusOK:
	case http.StatusForbidden:
		return answer{}, nil, failure.ErrTryLater
	default:
		return answer{}, nil, failure.ErrProtocol
	}
	got, err := parse(a.Body)
	if got.code() == codeNoSession {
		err = failure.ErrTryLater
	}
	return got, a.Header, err
}

// codeNoSession is the answer to a session that has ended, as is status 403: the next probe signs in again.
const codeNoSession = 902

// The codes with which a camera refuses a sign-in: devices/PROTOCOLS.md, section 12.1.
func refusedSignIn(code int) bool {
	return code == 1000 || code == 1001 || code == 1002 || code == 1003 || code == 1011 || code == 1012
}

// greet recognises a camera by its refusal of a sign-in with empty fields (a guess: section 12.4), and finds its
// transport. Anything else is failure.ErrProtocol.
func (c *conn) greet(ctx context.Context) error {
	err := c.greetOnce(ctx)
	if err == nil || ctx.Err() != nil || !c.dev.Addr.IsValid() || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, home.ErrSlow) {
		return err
	}
	c.dial(!c.tls)
	if c.greetOnce(ctx) == nil {
		return nil
	}
	return err
}

func (c *conn) greetOnce(ctx context.Context) error {
	got, _, err := c.ask(ctx, c.http, "/login.fcgi", url.Values{"Username": {""}, "Password": {""}}, "")
	if err == nil && (got.Code == nil || !refusedSignIn(got.code())) {
		err = failure.ErrProtocol
	}
	return err
}

// recognitionTime is how long a request without a password may take.
const recognitionTime = 3 * time.Second

// Recognise reports with nil that a camera of the NC class answers at an address, and with home.ErrUnreachable that
// nothing does. It sends no secret.
func Recognise(ctx context.Context, at netip.AddrPort) error {
	d := &Driver{o: Options{Timeout: recognitionTime, BindTimeout: recognitionTime}}
	c := d.connect(home.Device{Addr: at})
	defer c.close()
	return c.greet(ctx)
}

// session is a conversation in which the camera has accepted its own password.
type session struct {
	*conn
	terms  home.Terms
	kept   home.SignIns
	token  string
	cookie string
	plate  nameplate.Plate
}

// signIn signs in with the camera's own password. One that the camera has refused is not sent again.
func (c *conn) signIn(ctx context.Context, terms home.Terms, password home.Secret) (*session, error) {
	r := keyring.Recipient{Device: c.dev, Terms: terms, Evidence: home.Evidence{Rank: home.ToldFirst}}
	clear, err := r.Release(password)
	switch {
	case err != nil:
		return nil, err
	case password.IsZero():
		return nil, failure.ErrNoLogin
	}
	kept, err := c.d.o.Memory.SignIns(c.dev.ID)
	switch {
	case err != nil:
		return nil, err
	case hasRefused(kept, password) && !kept.Accepted.Equal(password):
		return nil, failure.ErrLogin
	case !c.hasCertificateOf(kept):
		return nil, failure.ErrOtherDevice
	}
	if err := c.d.o.Budget.Spend(c.dev.ID); err != nil {
		return nil, err
	}
	sent := base64.StdEncoding.EncodeToString([]byte(clear))
	if c.tls {
		sum := md5.Sum([]byte(sent))
		sent = hex.EncodeToString(sum[:])
	}
	got, header, err := c.ask(ctx, c.http, "/login.fcgi", url.Values{"Username": {"admin"}, "Password": {sent}}, "")
	switch {
	case err != nil:
		return nil, err
	case refusedSignIn(got.code()):
		kept.Accepted, kept.Refused = home.Secret{}, append(kept.Refused, refusal(password))
		return nil, errors.Join(
			c.d.o.Memory.SaveSignIns(c.dev.ID, kept), c.d.o.Budget.Refused(c.dev.ID), failure.ErrLogin,
		)
	case got.Code == nil || got.code() != 0 || got.Token == "":
		return nil, failure.ErrProtocol
	}
	if err := c.d.o.Budget.Good(c.dev.ID); err != nil {
		return nil, err
	}
	s := &session{conn: c, terms: terms, kept: kept, token: got.Token, cookie: post.Cookie(header, "sess")}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	return s, s.accepted(password)
}

func hasRefused(kept home.SignIns, s home.Secret) bool {
	return slices.ContainsFunc(kept.Refused, func(r home.Refusal) bool { return r.Credential == s })
}

func refusal(s home.Secret) home.Refusal {
	return home.Refusal{Credential: s, At: time.Now().UTC().Round(0)}
}

// certificate returns the fingerprint of the camera's certificate, nothing without TLS.
func (c *conn) certificate() string {
	cert := c.http.Certificate()
	if cert == [sha256.Size]byte{} {
		return ""
	}
	return hex.EncodeToString(cert[:])
}

// hasCertificateOf reports whether the certificate is the one of the camera that first accepted the password; one
// without TLS has none. It is compared before the password is sent.
func (c *conn) hasCertificateOf(kept home.SignIns) bool {
	_, cert, _ := strings.Cut(kept.Verifier, " ")
	return kept.Verifier == "" || cert == c.certificate()
}

// identify asks for hardware address, name and model. A camera that is not the one which was meant is
// failure.ErrOtherDevice. A record without a hardware address is for the camera that first accepted its password.
func (s *session) identify(ctx context.Context) error {
	net, err := s.get(ctx, "/netconf_get.fcgi")
	if err != nil {
		return err
	}
	sys, err := s.get(ctx, "/getsysinfo.fcgi")
	if err != nil {
		return err
	}
	mac := nameplate.MAC(net.MAC)
	if mac == "" {
		return failure.ErrProtocol
	}
	s.plate = nameplate.New(mac, cmp.Or(sys.SysName, sys.Name), sys.Model, home.Camera)
	known, _, _ := strings.Cut(s.kept.Verifier, " ")
	hasMAC := strings.HasPrefix(string(s.dev.ID), "mac-") || len(s.dev.HardwareKeys()) > 0
	if hasMAC && !s.plate.Names(s.dev) || known != "" && known != mac {
		return failure.ErrOtherDevice
	}
	return nil
}

// accepted records that the camera accepted its own password, and which camera that was.
func (s *session) accepted(password home.Secret) error {
	mac := strings.TrimPrefix(s.plate.Keys[0], "mac:")
	verifier := strings.TrimSpace(mac + " " + s.certificate())
	if s.kept.Verifier == verifier && s.kept.Accepted.Equal(password) {
		return nil
	}
	s.kept.Verifier, s.kept.Accepted = verifier, password
	return s.d.o.Memory.SaveSignIns(s.dev.ID, s.kept)
}

// get asks for something that the camera shows to those who are signed in.
func (s *session) get(ctx context.Context, path string) (answer, error) {
	got, _, err := s.ask(ctx, s.http, path, url.Values{"token": {s.token}}, s.cookie)
	if err == nil && got.code() != 0 {
		err = failure.ErrProtocol
	}
	return got, err
}

// cloud asks for owner and state.
func (s *session) cloud(ctx context.Context) (cloudState, error) {
	got, err := s.get(ctx, "/get_cloud.fcgi")
	if err != nil {
		return cloudState{}, err
	}
	return got.cloudState()
}
