package main

import (
	"crypto/x509"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// addBrokerPassword gives a command the flag for the password of the user in --broker.
func addBrokerPassword(c *cobra.Command) *string {
	return c.Flags().String("broker-password-file", "", "file that holds the password of the user in the URLs of brokers")
}

// addBrokerCA gives a command the flag for the authority of a broker's certificate.
func addBrokerCA(c *cobra.Command) *string {
	return c.Flags().String("broker-ca", "", "PEM file with the certificate of the authority that signed the broker's; "+
		"the system's authorities are trusted, too")
}

// authorities returns those of the system and of a PEM file; nil, for the system's alone, where no file is named.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	const op, hint = "read the authority of the broker", "give a PEM file with its certificate, with --broker-ca"
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &home.Error{Op: op, Err: err, Hint: hint}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a router may have none
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &home.Error{Op: op, Err: errors.New(file + " holds no certificate"), Hint: hint}
	}
	return pool, nil
}
