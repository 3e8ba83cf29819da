package cloudlink_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// readStore shows when the link reads binding secrets: it does for each sign-in that it makes.
type readStore struct {
	cloudlink.Store
	reads chan int // how many devices each
}

func (r readStore) BindingSecrets(ids []home.DeviceID) (map[home.DeviceID]home.Key, error) {
	secrets, err := r.Store.BindingSecrets(ids)
	r.reads <- len(ids)
	return secrets, err
}

func TestAPreparedSignInIsSentAfterTheAnswerAndNotAfterARefusal(t *testing.T) {
	reads := make(chan int, 100)
	s := play(t, func(o *cloudlink.Options) { o.Batch, o.Store = 2, readStore{o.Store, reads} })
	const devices = 6
	var ds []home.Device
	for i := range devices {
		ds = append(
			ds, home.Device{ID: home.DeviceID(fmt.Sprintf("mac-50c7bf01020%d", i)), Kind: home.Plug, Protocol: home.KLAP2},
		)
	}
	must(t, s.store.Bind(house1, ds))
	s.link.Wake()
	reply := func(re *wire.Message, b wire.Body) { s.send(&wire.Message{Re: re.ID, To: re.From, Body: b}) }
	for range devices / 2 {
		m, _ := next[*wire.Bind](s)
		reply(m, &wire.Receipt{Account: house1, Epoch: 1, Notice: s.notices[0]})
	}
	eventually(t, time.Minute, "an empty outbox", s.quiet)
	for len(reads) > 0 {
		<-reads
	}
	var errands []home.Errand
	for _, d := range ds {
		_, err := s.store.Observe(d.ID, home.Verdict{State: home.Current, Epoch: 1}, 0, time.Now())
		must(t, err)
		errands = append(errands, home.Errand{Kind: home.ErrandSignIn, Device: d.ID, Epoch: 1, At: time.Now()})
	}
	must(t, s.store.Queue(errands))
	s.link.Wake()

	prepared := func(what string) {
		t.Helper()
		select {
		case <-reads:
		case <-time.After(time.Minute):
			t.Fatalf("no read of binding secrets for %s", what)
		}
	}
	first, b := next[*wire.SignIn](s)
	prepared("the first")
	prepared("the second, before the first is answered")
	if len(s.sent) > 0 {
		if m := <-s.sent; m.ID != first.ID {
			t.Fatalf("%s was sent while a request had no answer", m.Type)
		}
	}
	// A new nonce: what was prepared with the old one is not sent.
	nonce := wire.NewNonce()
	reply(first, &wire.Refusal{Code: wire.CodeNonce, Nonce: nonce})
	signedIn := map[string]bool{}
	for len(signedIn) < devices {
		m, again := next[*wire.SignIn](s)
		if m.ID == first.ID {
			continue // repeated before the refusal came
		}
		if m.Seq <= first.Seq || bytes.Equal(again.ServiceNonce, b.ServiceNonce) {
			t.Fatalf("sequence number %d after %d, nonce %x", m.Seq, first.Seq, again.ServiceNonce)
		}
		answer := &wire.SignedIn{Account: house1, Epoch: 1, Nonce: nonce}
		secrets, err := s.store.BindingSecrets([]home.DeviceID{ds[0].ID, ds[1].ID, ds[2].ID, ds[3].ID, ds[4].ID, ds[5].ID})
		must(t, err)
		for _, d := range again.Devices {
			proof, _ := wire.Attempt{
				Account: house1, Member: m.From, Device: d.ID, Request: m.ID, Epoch: 1, MemberNonce: again.MemberNonce,
				ServiceNonce: again.ServiceNonce, EpochSecret: s.secrets[0], BindingSecret: secrets[home.DeviceID(d.ID)],
			}.Proofs()
			answer.Devices = append(answer.Devices, wire.Proven{ID: d.ID, Proof: proof})
			if signedIn[d.ID] {
				t.Errorf("%s is signed in twice", d.ID)
			}
			signedIn[d.ID] = true
		}
		reply(m, answer)
		first = m
	}
	eventually(t, time.Minute, "an empty outbox", s.quiet)
}
