package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// wsGroup is where cameras listen for WS-Discovery: devices/PROTOCOLS.md, section 13.3.
var wsGroup = &net.UDPAddr{IP: net.IPv4(239, 255, 255, 250), Port: 3702}

// wsMatch is the reply of a camera, as it was captured from one: model, address, port. All have the same endpoint.
const wsMatch = `<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope ` +
	`xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" ` +
	`xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
	`xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" ` +
	`xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><SOAP-ENV:Header>` +
	`<wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</wsa:Action></SOAP-ENV:Header>` +
	`<SOAP-ENV:Body><d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference>` +
	`<wsa:Address>urn:uuid:3fa1fe68-b915-4053-a3e1-c006c3afec0e</wsa:Address></wsa:EndpointReference>` +
	`<d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>onvif://www.onvif.org/type/NetworkVideoTransmitter ` +
	`onvif://www.onvif.org/name/TP-IPC onvif://www.onvif.org/hardware/%s onvif://www.onvif.org/location/ShenZhen` +
	`</d:Scopes><d:XAddrs>http://%s/onvif/device_service</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>` +
	`</d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>`

// wsAnswerer is a camera that answers WS-Discovery.
type wsAnswerer interface {
	wsStatement() (model string, service netip.AddrPort)
}

func (d *ncCamera) wsStatement() (string, netip.AddrPort) {
	port := uint16(2020) // of ONVIF
	if forbidden() {
		port = d.port() // else nothing would lead to where its web page is
	}
	return d.spec.Model, netip.AddrPortFrom(d.spec.Addr, port)
}

// wsSocket receives the questions of WS-Discovery for all cameras of a house.
type wsSocket struct{ raw *net.UDPConn }

// listenWS opens the socket where the house has a camera that answers; it is nil else.
func listenWS(on *net.Interface, devices []*Device) (*wsSocket, error) {
	any := false
	for _, d := range devices {
		_, answers := d.body.(wsAnswerer)
		any = any || answers
	}
	if !any {
		return nil, nil
	}
	raw, err := net.ListenUDP("udp4", wsGroup) // shares the port with others: Go sees that it is a group
	if err != nil {
		return nil, err
	}
	if err := ipv4.NewPacketConn(raw).JoinGroup(on, wsGroup); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("interface %s: %w", on.Name, err)
	}
	return &wsSocket{raw}, nil
}

// run has every camera that is on answer from its own address, until ctx ends.
func (s *wsSocket) run(ctx context.Context, devices []*Device) {
	defer context.AfterFunc(ctx, func() { _ = s.raw.Close() })()
	b := make([]byte, maxRequest)
	for {
		n, from, err := s.raw.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !bytes.Contains(b[:n], []byte("/discovery/Probe<")) {
			continue
		}
		for _, d := range devices {
			if w, ok := d.body.(wsAnswerer); ok && d.On() {
				answerWS(d.spec.Addr, w, from)
			}
		}
	}
}

func answerWS(own netip.Addr, w wsAnswerer, to netip.AddrPort) {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)))
	if err != nil {
		return
	}
	defer c.Close()
	model, service := w.wsStatement()
	_, _ = c.WriteToUDPAddrPort(fmt.Appendf(nil, wsMatch, model, service), to)
}
