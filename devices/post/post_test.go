package post_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/post"
)

// serve answers on loopback until the test ends.
func serve(t *testing.T, encrypted bool, h http.HandlerFunc) (*httptest.Server, netip.AddrPort) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if encrypted {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, netip.MustParseAddrPort(s.Listener.Addr().String())
}

func TestOneClientKeepsOneConnection(t *testing.T) {
	var mu sync.Mutex // guards from
	from := map[string]bool{}
	s, at := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
		raw, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+" "+r.Header.Get("X")+" "+string(raw))
	})
	client := post.New(at, post.Options{TLS: true})
	defer client.Close()
	if client.Certificate() != [sha256.Size]byte{} {
		t.Error("a certificate before the first request")
	}
	for range 3 {
		a, err := client.Send(t.Context(), "/a?b=-1", http.Header{"X": {"x"}}, []byte("body"))
		if err != nil || a.Status != 200 || string(a.Body) != "POST /a?b=-1 x body" {
			t.Errorf("got %d %q, %v", a.Status, a.Body, err)
		}
	}
	if len(from) != 1 {
		t.Errorf("%d connections", len(from))
	}
	if client.Certificate() != sha256.Sum256(s.Certificate().Raw) {
		t.Error("another certificate")
	}
}

func TestRedirectsAndProxiesAreIgnored(t *testing.T) {
	_, other := serve(t, false, func(http.ResponseWriter, *http.Request) { t.Error("another host received a request") })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://"+other.String())
	}
	_, at := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+other.String()+"/", http.StatusPermanentRedirect)
	})
	client := post.New(at, post.Options{})
	defer client.Close()
	if a, err := client.Send(t.Context(), "/", nil, []byte("x")); err != nil || a.Status != http.StatusPermanentRedirect {
		t.Errorf("got %d, %v", a.Status, err)
	}
}

func TestErrorsQuoteNothingOfTheRequest(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, plain := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") })
	_, long := serve(
		t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1<<17)) },
	)
	_, broken := serve(t, false, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for name, c := range map[string]struct {
		at  netip.AddrPort
		tls bool
	}{
		"no address":   {},
		"no server":    {at: netip.MustParseAddrPort("127.0.0.1:1")},
		"silent":       {at: netip.MustParseAddrPort(silent.Addr().String())},
		"silent TLS":   {netip.MustParseAddrPort(silent.Addr().String()), true},
		"no TLS there": {plain, true},
		"too long":     {at: long},
		"breaks":       {at: broken},
	} {
		client := post.New(c.at, post.Options{TLS: c.tls, Timeout: 200 * time.Millisecond})
		a, err := client.Send(t.Context(), "/stok=hush", http.Header{"Authorization": {"hush"}}, []byte("hush"))
		if !errors.Is(err, home.ErrUnreachable) || len(a.Body) > 0 {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error quotes the request: %v", name, err)
		}
		client.Close()
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	_, at := serve(t, true, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // else an answer may come yet, while the connection ends
	})
	client := post.New(at, post.Options{TLS: true, Timeout: time.Hour})
	defer client.Close()
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	start := time.Now()
	if _, err := client.Send(ctx, "/", nil, nil); !errors.Is(err, home.ErrUnreachable) ||
		!errors.Is(err, context.DeadlineExceeded) ||
		time.Since(start) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

// A device that accepts a connection and does not answer in time is on: its owner need not switch it on.
func TestADeviceThatAnswersTooSlowlyIsNotTakenForOneThatIsOff(t *testing.T) {
	at := netip.MustParseAddrPort("127.0.0.1:80")
	for name, part := range map[string]string{
		"no answer": "", "half an answer": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
	} {
		synctest.Test(t, func(t *testing.T) {
			driver, device := net.Pipe()
			var reading sync.WaitGroup
			reading.Go(func() {
				if _, err := http.ReadRequest(bufio.NewReader(device)); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(device, part) // an answer before its request ends the connection
				_, _ = io.Copy(io.Discard, device)
			})
			c := post.New(at, post.Options{Dial: func(context.Context, string, string) (net.Conn, error) { return driver, nil }})
			_, err := c.Send(t.Context(), "/", nil, nil)
			if !errors.Is(err, home.ErrSlow) || !errors.Is(err, home.ErrUnreachable) {
				t.Errorf("%s: got %v", name, err)
			}
			c.Close()
			_ = device.Close()
			reading.Wait()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := post.New(at, post.Options{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		defer c.Close()
		if _, err := c.Send(t.Context(), "/", nil, nil); !errors.Is(err, home.ErrUnreachable) || errors.Is(err, home.ErrSlow) {
			t.Errorf("without a connection: %v", err)
		}
	})
}
