package account

import (
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Changes wakes the watchers of an account, who then read its state.
type Changes struct {
	mu sync.Mutex // guards by
	by map[string]map[chan struct{}]bool
}

// watch returns a channel that receives a signal at each change of the account, and the function that ends that.
// Signals coalesce: a slow reader sees the last one.
func (w *Changes) watch(account string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]map[chan struct{}]bool{}
	}
	if w.by[account] == nil {
		w.by[account] = map[chan struct{}]bool{}
	}
	w.by[account][c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.by[account], c); len(w.by[account]) == 0 {
			delete(w.by, account)
		}
	}
}

// Add wakes who watches the account.
func (w *Changes) Add(account string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.by[account] {
		poke(c)
	}
}

// News is a set of accounts that one reader takes out.
type News struct {
	mu   *sync.Mutex // guards set
	set  map[string]bool
	wake chan struct{}
}

func newNews() News {
	return News{mu: new(sync.Mutex), set: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// Add puts an account in.
func (n *News) Add(account string) {
	n.mu.Lock()
	n.set[account] = true
	n.mu.Unlock()
	poke(n.wake)
}

// Wake is readable when an account was put in.
func (n *News) Wake() <-chan struct{} { return n.wake }

// Take takes every account out.
func (n *News) Take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for id := range n.set {
		all = append(all, id)
	}
	clear(n.set)
	return all
}

// Report is a hub's report about a device. It is only shown: on a foreign broker every client can publish one.
type Report struct {
	Name    string     `json:"name"`
	Verdict home.State `json:"verdict"`
	Since   time.Time  `json:"since"`
}

// Presence is a hub's report about itself.
type Presence struct {
	Online bool   `json:"online"`
	Boot   uint64 `json:"boot,string"`
}

// Reports are the newest reports, in memory: the broker retains them.
type Reports struct {
	mu      sync.RWMutex // guards both
	devices map[reported]Report
	hubs    map[string]Presence
}

// reported is the key of a device's state.
type reported struct{ account, device string }

// SetDevice stores the report about a device of an account.
func (r *Reports) SetDevice(account, device string, now Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.devices == nil {
		r.devices = map[reported]Report{}
	}
	r.devices[reported{account, device}] = now
}

// SetHub stores the presence of a hub. A late will may overtake a birth: the higher boot number wins.
func (r *Reports) SetHub(name string, now Presence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hubs == nil {
		r.hubs = map[string]Presence{}
	}
	if now.Boot >= r.hubs[name].Boot {
		r.hubs[name] = now
	}
}

// ForgetHub deletes the presence of a hub that is no member any more.
func (r *Reports) ForgetHub(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hubs, name)
}

// device returns the report about a device.
func (r *Reports) device(account, device string) Report {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.devices[reported{account, device}]
}

// Online returns whether a member has not reported to be offline. Native devices do not report it, and are asked.
func (r *Reports) Online(name string) bool {
	if !IsHub(name) {
		return true
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, known := r.hubs[name]
	return !known || p.Online
}
