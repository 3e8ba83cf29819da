package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

// post posts body as an app does, and returns the answer.
func (h *benchHouse) post(c *http.Client, query, body string) string {
	resp, err := c.Post(h.service.URL()+"/"+query, "application/json", strings.NewReader(body))
	if err != nil {
		h.b.Error(err)
		return ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		h.b.Error(err)
	}
	return string(raw)
}

// BenchmarkLogin has 32 clients at four addresses sign in over HTTP, each session synced to disk. Beside it the hash
// that each login computes, alone.
func BenchmarkLogin(b *testing.B) {
	p := account.DefaultPolicy()
	rate := func(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s") }
	b.Run("by=rekeyd", func(b *testing.B) {
		h := newBenchHouse(b, 1)
		const form = `{"method":"login","params":{"appType":%q,"cloudUserName":%q,"cloudPassword":%q,"terminalUUID":"bench"}}`
		body := fmt.Sprintf(form, Kasa.AppType, ownerEmail, h.password())
		var n atomic.Int64
		b.SetParallelism(32 / runtime.GOMAXPROCS(0))
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n.Add(1)%4))}}
			c := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
			defer c.CloseIdleConnections()
			for pb.Next() {
				if got := h.post(c, "", body); !strings.Contains(got, `"error_code":0`) {
					b.Errorf("login: %s", got)
				}
			}
		})
		rate(b)
	})
	b.Run("by=argon2id", func(b *testing.B) {
		b.SetParallelism(max(1, min(4, runtime.GOMAXPROCS(0))/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				argon2.IDKey([]byte("Kettle-Otter-00000"), []byte("0123456789abcdef"), p.HashTime, p.HashMemory, 1, 32)
			}
		})
		rate(b)
	})
}

// BenchmarkDeviceList lists 1,000 devices, one call after the other and 8 at once.
func BenchmarkDeviceList(b *testing.B) {
	h := newBenchHouse(b, 1000)
	token, err := h.signIn(h.password())
	h.must(err)
	query := "?token=" + token
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	b.Cleanup(c.CloseIdleConnections)
	list := func() {
		got := h.post(c, query, `{"method":"getDeviceList"}`)
		if n := strings.Count(got, `"status":1`); n != 1000 {
			b.Errorf("%d of 1000 devices are listed as online", n)
		}
	}
	b.Run("at-once=1", func(b *testing.B) {
		for range b.N {
			list()
		}
	})
	b.Run("at-once=8", func(b *testing.B) {
		b.SetParallelism(8 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				list()
			}
		})
	})
}

// BenchmarkForgotRush asks for 1,000 resets in one moment, each on a connection of its own, half of them for an address
// that has an account. The policy's forgot_answer, 400 ms, is when each is answered; the time here counts from before
// the connection is made. The heap is that of the service and the clients.
func BenchmarkForgotRush(b *testing.B) {
	const asked = 1000
	h := newBenchHouse(b, 1)
	for range b.N {
		c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: asked}}
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		took := make([]time.Duration, asked)
		begin := make(chan struct{})
		var all sync.WaitGroup
		for i := range asked {
			email := fmt.Sprintf("absent-%d@example.org", i)
			if i%2 == 0 {
				email = ownerEmail
			}
			all.Go(func() {
				<-begin
				began := time.Now()
				h.post(c, "", `{"method":"getResetPasswordEmail","params":{"email":"`+email+`","appType":"`+Web.AppType+`"}}`)
				took[i] = time.Since(began)
			})
		}
		peak := make(chan uint64)
		go func() {
			var most uint64
			for range 20 {
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapInuse)
				time.Sleep(30 * time.Millisecond)
			}
			peak <- most
		}()
		close(begin)
		all.Wait()
		b.ReportMetric(float64(max(<-peak, before.HeapInuse)-before.HeapInuse)/1e6, "heap-MB")
		c.CloseIdleConnections()
		slices.Sort(took)
		b.ReportMetric(float64(took[0].Milliseconds()), "first-ms")
		b.ReportMetric(float64(took[asked/2].Milliseconds()), "median-ms")
		b.ReportMetric(float64(took[asked-1].Milliseconds()), "last-ms")
	}
}
