package wire_test

import (
	"fmt"
	"testing"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// signIn256 is the sign-in of as many devices as a hub puts into one message.
func signIn256() *wire.SignIn {
	b := &wire.SignIn{Account: "k3v9d2m7q4xw8z1b", Epoch: 2, MemberNonce: wire.NewNonce(), ServiceNonce: wire.NewNonce()}
	for i := range 256 {
		b.Devices = append(b.Devices, wire.Proven{ID: fmt.Sprintf("mac-50c7bf01%04x", i), Proof: wire.NewNonce()})
	}
	return b
}

func BenchmarkSignSignIn256(b *testing.B) {
	hub, svc := identity(b, wire.RoleHub), identity(b, wire.RoleService)
	body := signIn256()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hub.Sign(&wire.Message{To: svc.Name, Seq: 1, Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAndVerifySignIn256(b *testing.B) {
	hub, svc := identity(b, wire.RoleHub), identity(b, wire.RoleService)
	raw, err := hub.Sign(&wire.Message{To: svc.Name, Seq: 1, Body: signIn256()})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := wire.ParseMessage(raw)
		if err == nil {
			err = m.Verify(hub.Keys, svc.Name)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProofs is both proofs of one device: what each end computes for each device at each epoch.
func BenchmarkProofs(b *testing.B) {
	s := wire.Attempt{
		Account: "k3v9d2m7q4xw8z1b", Member: "hub-k3v9d2m7q4xw8z1bk3v9d2m7q4", Device: "mac-50c7bf010203", Epoch: 2,
		MemberNonce: wire.NewNonce(), ServiceNonce: wire.NewNonce(),
		EpochSecret: home.SecretBytes(wire.NewSeed()), BindingSecret: home.KeyBytes(wire.NewSeed()),
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Proofs()
	}
}
