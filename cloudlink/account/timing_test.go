package account_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// mannWhitney returns how far the ranks of two samples are apart, in standard deviations of what chance does.
func mannWhitney(a, b []time.Duration) float64 {
	type item struct {
		d     time.Duration
		first bool
	}
	var all []item
	for _, d := range a {
		all = append(all, item{d, true})
	}
	for _, d := range b {
		all = append(all, item{d, false})
	}
	slices.SortFunc(all, func(x, y item) int { return int(x.d - y.d) })
	ranks := 0.0
	for i, x := range all {
		if x.first {
			ranks += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	return (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

func quantile(ds []time.Duration, q float64) time.Duration {
	ds = slices.Clone(ds)
	slices.Sort(ds)
	return ds[int(q*float64(len(ds)-1))]
}

// leak measures the two ways with measure, and returns how their answer times differ; empty when they do not. Other
// work on the machine can favour one way once; a leak favours the same way each time, so three measurements in a row
// have to agree on the sign.
func leak(measure func() [2][]time.Duration, least time.Duration) string {
	sign := 0.0
	var found string
	for range 3 {
		got := measure()
		found = apart(got[0], got[1], least)
		if z := mannWhitney(got[0], got[1]); found == "" || sign*z < 0 {
			return ""
		} else {
			sign = z
		}
	}
	return found
}

// apart returns how two distributions of answer times differ; empty when they do not. Both are needed: ranks
// that chance does not explain, and a difference that somebody could measure over a network.
func apart(a, b []time.Duration, least time.Duration) string {
	z := mannWhitney(a, b)
	for _, q := range []float64{.25, .5, .75} {
		if d := quantile(a, q) - quantile(b, q); math.Abs(z) > 6 && d.Abs() > least {
			return fmt.Sprintf("%.1f standard deviations apart, %v at the quantile %.2f (%v and "+
				"%v)", z, d, q, quantile(a, q), quantile(b, q))
		}
	}
	return ""
}

// times asks n times each way, mixed, some at once, and returns how long each answer took. All answers have to be the
// same.
func times(t *testing.T, n, atOnce int, ways [2]func(i int) (url, body string)) (out [2][]time.Duration) {
	t.Helper()
	return timesOver(t, &http.Transport{MaxIdleConnsPerHost: atOnce}, n, atOnce, ways)
}

// timesOver is times over a transport of the test's own.
func timesOver(
	t *testing.T, over *http.Transport, n, atOnce int, ways [2]func(i int) (url, body string),
) (out [2][]time.Duration) {
	t.Helper()
	client := &http.Client{Transport: over}
	defer client.CloseIdleConnections()
	order := make([]int, 0, 2*n)
	for i := range 2 * n {
		order = append(order, i%2)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var mu sync.Mutex
	var all sync.WaitGroup
	next := 0
	var answer []byte
	for range atOnce {
		all.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(order) {
					return
				}
				url, body := ways[order[i]](i)
				kind := "application/json"
				if !strings.HasPrefix(body, "{") {
					kind = "application/x-www-form-urlencoded"
				}
				begun := time.Now()
				resp, err := client.Post(url, kind, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				raw, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				took := time.Since(begun)
				mu.Lock()
				if answer == nil {
					answer = raw
				} else if len(raw) < 200 && !bytes.Equal(raw, answer) { // a page names the address
					t.Errorf("answered %s, and then %s", answer, raw)
				}
				out[order[i]] = append(out[order[i]], took)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return out
}

// deadServer takes a mail and never answers; with fail it refuses at once.
type deadServer struct{ fail bool }

func (d deadServer) Send(ctx context.Context, _ mail.Mail) error {
	if d.fail {
		return home.ErrUnavailable
	}
	<-ctx.Done()
	return errors.Join(home.ErrUnavailable, ctx.Err())
}

const requests = 500 // each way

func TestAnswerTimesDoNotRevealWhoHasAnAccount(t *testing.T) {
	for name, mail := range map[string]mail.Mailer{
		"a mail server that works": nil, "one that does not answer": deadServer{},
		"one that refuses": deadServer{fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := openWith(t, mail, func(p *account.Policy) {
				p.ForgotAnswer, p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = 60*time.Millisecond, 0, 1000, 100_000
			})
			c.register()
			api := func(address func(int) string) func(int) (string, string) {
				return func(i int) (string, string) {
					return c.web.URL, `{"method":"getResetPasswordEmail","params":{"email":"` + address(i) + `"}}`
				}
			}
			known := func(int) string { return email }
			unknown := func(i int) string { return fmt.Sprintf("absent-%d@example.org", i) }
			measure := func() [2][]time.Duration {
				return times(t, requests, 40, [2]func(int) (string, string){api(known), api(unknown)})
			}
			if s := leak(measure, time.Millisecond); s != "" {
				t.Errorf("an address that has an account and one that has none are %s", s)
			}
			page := func(address func(int) string) func(int) (string, string) {
				return func(i int) (string, string) { return c.web.URL + "/forgot", "email=" + address(i) }
			}
			measure = func() [2][]time.Duration {
				return times(t, requests, 40, [2]func(int) (string, string){page(known), page(unknown)})
			}
			if s := leak(measure, time.Millisecond); s != "" {
				t.Errorf("on the page the two are %s", s)
			}
		})
	}
}

func TestAnswerTimesDoNotRevealWhoIsThrottledLockedOrRegistered(t *testing.T) {
	c := openWith(t, nil, func(p *account.Policy) {
		// The answer hides the work where the work is done by then: half of what holds for everybody, on a busy
		// machine.
		p.ForgotAnswer, p.ForgotPause, p.ForgotPerHour, p.ForgotFrom = 200*time.Millisecond, time.Hour, 1, 100_000
		p.Activation = true
		p.LoginFailures, p.LoginFrom = 1000, 100_000
	})
	c.register()
	eventually(t, "the mail", func() bool { return c.mail.count("Activate your account") == 1 })
	if err := c.s.Activate(t.Context(), tokenIn.FindStringSubmatch(c.last("/activate").Text)[1]); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64 // makes each address new, also where a measurement is repeated
	call := func(method, params string) func(int) (string, string) {
		return func(int) (string, string) {
			params := strings.ReplaceAll(params, "%", fmt.Sprint(asked.Add(1)))
			return c.web.URL, `{"method":"` + method + `","params":` + params + `}`
		}
	}
	for what, ways := range map[string][2]func(int) (string, string){
		"an address that is throttled and one that is not": {
			call("getResetPasswordEmail", `{"email":"`+email+`"}`),
			call("getResetPasswordEmail", `{"email":"absent-%@example.org"}`),
		},
		"signing in with a wrong password to an account and to none": {
			call("login", `{"appType":"","cloudUserName":"`+email+`","cloudPassword":"wrong-Horse-Battery","terminalUUID":""}`),
			call("login", `{"appType":"","cloudUserName":"absent-%@example.org",`+
				`"cloudPassword":"wrong-Horse-Battery","terminalUUID":""}`),
		},
		"registering an address that has an account and one that has none": {
			call("register", `{"email":"`+email+`","password":"`+password+`"}`),
			call("register", `{"email":"somebody-%@example.org","password":"`+password+`"}`),
		},
	} {
		n, least := requests, time.Millisecond
		if strings.HasPrefix(what, "signing") {
			n, least = 300, 300*time.Microsecond // three times as many do not lock the account
		}
		if s := leak(func() [2][]time.Duration { return times(t, n, 32, ways) }, least); s != "" {
			t.Errorf("%s are %s", what, s)
		}
	}
}

// TestALeakOfAnswerTimesIsFound shows that the tests above can fail: a service that takes two milliseconds longer for
// addresses that have an account is found. It runs in fake time, so that a busy machine hides no leak.
func TestALeakOfAnswerTimesIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		leaks := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, _ := io.ReadAll(r.Body)
			pause := time.Duration(20+rand.IntN(10)) * time.Millisecond
			if strings.Contains(string(raw), email) {
				pause += 2 * time.Millisecond
			}
			time.Sleep(pause) // is what is tested
			_, _ = w.Write([]byte("{}"))
		})}
		var served sync.WaitGroup
		served.Go(func() { _ = leaks.Serve(l) }) // ends with ErrServerClosed
		defer served.Wait()
		defer leaks.Close()
		between := func(one, other string) string {
			ask := func(address string) func(int) (string, string) {
				return func(int) (string, string) { return "http://leaks.example.org", `{"email":"` + address + `"}` }
			}
			over := &http.Transport{MaxIdleConnsPerHost: 40, DialContext: l.dial}
			return leak(func() [2][]time.Duration {
				return timesOver(t, over, requests, 40, [2]func(int) (string, string){ask(one), ask(other)})
			}, time.Millisecond)
		}
		if between(email, "absent@example.org") == "" {
			t.Error("a leak of 2 ms was not found")
		}
		if s := between("absent@example.org", "no-one@example.org"); s != "" {
			t.Errorf("where nothing leaks a leak was found: %s", s)
		}
	})
}

// pipes is a network in memory with one listener.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }
