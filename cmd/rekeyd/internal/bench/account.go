package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/rekeyd/rekeyd/cloudlink/account"
)

// The account service, as apps and browsers meet it: over HTTP on loopback, its state on disk.
const (
	loginRounds = 3
	loginTime   = 4 * time.Second // of each round
	loginsOnce  = 32              // from four addresses, as neighbours are
	listsOnce   = 8
	listed      = 1000 // devices of the account
	resets      = 1000 // asked for at once
	answerAt    = 400 * time.Millisecond
)

// accountService measures logins, lists and a rush for resets.
func accountService(ctx context.Context, o options) ([]table, error) {
	o.devices, o.answer = listed, answerAt
	r, err := newRig(ctx, o, &tap{})
	if err != nil {
		return nil, err
	}
	defer r.close()
	t := table{title: "Account service", columns: []string{"what", "measured", "baseline", "rate is", "aim"}}
	if err := r.logins(ctx, &t); err != nil {
		return nil, err
	}
	if err := r.lists(ctx, &t); err != nil {
		return nil, err
	}
	return []table{t}, r.rush(ctx, &t)
}

// logins compares whole logins with the hash that each of them has to compute.
func (r *rig) logins(ctx context.Context, t *table) error {
	p := account.DefaultPolicy()
	var hashed, signedIn []float64
	for range loginRounds {
		n, err := rate(ctx, p.Hashers, loginTime, func(context.Context) error {
			argon2.IDKey([]byte(r.password()), []byte("0123456789abcdef"), p.HashTime, p.HashMemory, p.HashThreads, 32)
			return nil
		})
		if err != nil {
			return err
		}
		hashed = append(hashed, n)
		n, err = rate(ctx, loginsOnce, loginTime, neighbours(func(ctx context.Context, c *http.Client) error { return r.signIn(ctx, c) }))
		if err != nil {
			return err
		}
		signedIn = append(signedIn, n)
	}
	slices.Sort(hashed)
	slices.Sort(signedIn)
	h, l := hashed[loginRounds/2], signedIn[loginRounds/2]
	t.row("logins", fmt.Sprintf("%.1f/s", l), fmt.Sprintf("argon2id alone: %.1f/s", h), fmt.Sprintf("%.2f of it", l/h), "0.9: "+verdict(l/h >= .9))
	t.notef("logins: %d at once over HTTP, from four addresses, each with its session on disk (a synced transaction, shared by those of one moment), against argon2id (%d KiB, t=%d, p=%d) alone, %d at once as the service does it; in turn, %d rounds of %v, the median of each.",
		loginsOnce, p.HashMemory, p.HashTime, p.HashThreads, p.Hashers, loginRounds, loginTime)
	return nil
}

// neighbours has something done by clients at four addresses, in turn.
func neighbours(do func(context.Context, *http.Client) error) func(context.Context) error {
	clients := make(chan *http.Client, loginsOnce)
	for i := range loginsOnce {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%4))}}
		clients <- &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	}
	return func(ctx context.Context) error {
		c := <-clients
		defer func() { clients <- c }()
		return do(ctx, c)
	}
}

// signIn signs the owner in, as an app does.
func (r *rig) signIn(ctx context.Context, c *http.Client) error {
	body := fmt.Sprintf(`{"method":"login","params":{"appType":"Kasa_Android","cloudUserName":%q,"cloudPassword":%q,"terminalUUID":"bench"}}`, owner, r.password())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && !strings.Contains(string(raw), `"error_code":0`) {
		err = fmt.Errorf("login: %s", raw)
	}
	return err
}

// rate does something for a time, n at once, and returns how often a second.
func rate(ctx context.Context, n int, d time.Duration, do func(context.Context) error) (float64, error) {
	ctx, stop := context.WithTimeout(ctx, d+10*time.Second)
	defer stop()
	var mu sync.Mutex
	var failed error
	done := 0
	begun := time.Now()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for time.Since(begun) < d {
				err := do(ctx)
				mu.Lock()
				if done++; err != nil {
					failed = err
				}
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	all.Wait()
	return float64(done) / time.Since(begun).Seconds(), failed
}

// lists measures getDeviceList.
func (r *rig) lists(ctx context.Context, t *table) error {
	token, err := r.login(ctx)
	if err != nil {
		return err
	}
	size := 0
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: listsOnce}}
	defer client.CloseIdleConnections()
	list := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+"/?token="+token, strings.NewReader(`{"method":"getDeviceList"}`))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err == nil && strings.Count(string(raw), `"status":1`) != listed {
			err = errors.New("not all devices are listed as online")
		}
		return err
	}
	resp, err := client.Post(r.base+"/?token="+token, "application/json", strings.NewReader(`{"method":"getDeviceList"}`))
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return err
	}
	size = len(raw)
	one, err := rate(ctx, 1, 2*time.Second, list)
	if err != nil {
		return err
	}
	many, err := rate(ctx, listsOnce, 2*time.Second, list)
	if err != nil {
		return err
	}
	t.row(fmt.Sprintf("getDeviceList of %d devices, one after the other", listed), fmt.Sprintf("%.2f ms, %d KB", 1000/one, size/1000))
	t.row(fmt.Sprintf("· %d at once", listsOnce), fmt.Sprintf("%.0f/s", many))
	return nil
}

// rush asks for many resets in one moment, half of them for an address that has an account.
func (r *rig) rush(ctx context.Context, t *table) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: resets, MaxConnsPerHost: 0}}
	defer client.CloseIdleConnections()
	runtime.GC()
	var before, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	took := make([]time.Duration, resets)
	errs := make([]error, resets)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range resets {
		all.Go(func() {
			email := fmt.Sprintf("nobody-%d@example.org", i)
			if i%2 == 0 {
				email = owner
			}
			<-begin
			begun := time.Now()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base, strings.NewReader(`{"method":"getResetPasswordEmail","params":{"email":"`+email+`","door":"web"}}`))
			if err != nil {
				errs[i] = err
				return
			}
			resp, err := client.Do(req)
			if err != nil {
				errs[i] = err
				return
			}
			_, errs[i] = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			took[i] = time.Since(begun)
		})
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for range 20 {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapInuse > peak.HeapInuse {
				peak = now
			}
			time.Sleep(30 * time.Millisecond)
		}
	}()
	close(begin)
	all.Wait()
	<-watched
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("resets: %w", err)
	}
	slices.Sort(took)
	t.row(fmt.Sprintf("%d resets asked for at once: answered after", resets),
		fmt.Sprintf("%d to %d ms, median %d", took[0].Milliseconds(), took[len(took)-1].Milliseconds(), took[len(took)/2].Milliseconds()),
		fmt.Sprintf("the fixed instant: %d ms", answerAt.Milliseconds()))
	t.row("· memory of service and clients meanwhile", fmt.Sprintf("%.1f MB more", float64(peak.HeapInuse-min(before.HeapInuse, peak.HeapInuse))/1e6))
	t.notef("resets: each on a connection of its own, half for an address that has an account; the time counts from before the connection is made. The instant is counted from when the request was read. Heap in use, of the whole process: the clients' connections are in it.")
	return nil
}
