// Package site is the account service's website.
package site
