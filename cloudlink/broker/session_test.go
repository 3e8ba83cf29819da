package broker_test

import (
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

// resumed connects id, and returns whether the broker still had its session.
func (h *house) resumed(t *testing.T, id *wire.Identity) bool {
	t.Helper()
	o := paho.NewClientOptions().AddBroker("tcp://" + h.addr).SetClientID(id.Name).SetUsername(id.Name)
	o.SetPassword(id.Login().Reveal()).SetProtocolVersion(4).SetAutoReconnect(false).SetCleanSession(false)
	c := paho.NewClient(o)
	tok := c.Connect()
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatalf("connect: %v", tok.Error())
	}
	defer c.Disconnect(100)
	subscribe(t, c, wire.InboxTopic(id.Name))
	return tok.(*paho.ConnectToken).SessionPresent()
}

func TestTheBrokerKeepsNoSessionOfAStranger(t *testing.T) {
	h := start(t)
	h.resumed(t, h.hub)
	h.resumed(t, h.stranger)
	deadline := time.Now().Add(time.Minute)
	for h.resumed(t, h.stranger) { // the broker's end of a connection ends after the client's
		if time.Now().After(deadline) {
			t.Fatal("the session of a stranger is kept")
		}
	}
	if !h.resumed(t, h.hub) {
		t.Error("the session of a member is not kept")
	}
}

func TestAFloodOfNewNamesFromOneAddressIsCutOff(t *testing.T) {
	h := start(t)
	refused := 0
	for range 100 {
		c, _, err := h.try(identity(t, wire.RoleHub))
		if err != nil {
			refused++
			continue
		}
		c.Disconnect(0)
	}
	if refused < 20 {
		t.Errorf("%d of 100 strangers were refused", refused)
	}
	h.dial(t, h.hub) // a member is let in
}
