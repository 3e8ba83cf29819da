package app

import "net"

// ownersOnly accepts connections of processes of this user and of root, and closes all others.
type ownersOnly struct{ net.Listener }

// Accept returns the next connection of an owner.
func (l ownersOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || mayCommand(conn) {
			return conn, err
		}
		_ = conn.Close()
	}
}
