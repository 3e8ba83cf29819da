package language

import "time"

// Site has the texts of pages. A map's texts are found by the words of the account service; a word that has none is
// shown as it is.
type Site struct {
	Account, Skip                               string // of the frame
	Devices, Hubs, Sessions, Password, History  string // of the navigation, and the titles of those pages
	SignOut                                     string
	Plain                                       string // warning beside a password that travels in the clear
	Time                                        func(time.Time) string
	Door                                        func(door string) string // behind "through"
	DoorName                                    map[string]string
	PasswordRule                                func(least, most int) string
	Strength                                    [3]string // weak, fair, strong; advice, not a rule
	Email, PasswordLabel, NewPassword, OnceMore string    // labels

	SignIn, SignInFirst, SignedOut          string
	ToForgot, ToRegister, ToCode, ToNotMe   string // links
	Register, RegisterText, RegisterMailed  string
	Registered                              string
	Activate, ActivateText, Activated       string
	Forgot, ForgotEmail, OK, Mailed         string
	MailedText, ResendText, Resend          string
	Reset, CodeLabel, GoOn                  string
	Choose, For, Save                       string
	HubsWho, HubsWhoText, NoHubsWho         string
	Exposed, Forgotten, Known, ExposedText  string // the question whether somebody else may know the old password
	NoneInformed                            string
	Informed                                func(hubs int) string
	Hub                                     func(name string, devices int) string
	ResetDone, ResetDoneText, SignInNow     string
	ProgressTitle, ProgressNone, AllDone    string
	Progress                                func(done, all int) string
	ProgressNeed                            func(done, need int) string
	Waiting, NeedText                       string
	NotMe, NotMeText, NotMeButton           string
	NotMeDone, NotMeDoneText                string
	Name, Kind, Verdict, When, HubLabel     string // of tables
	NoDevices, SignedIn, NotYet             string
	Kinds, Verdicts, Hints                  map[string]string
	Version, Since, Epoch, Remove, NoHubs   string
	HubIs                                   map[bool]string // there, or not
	Approve, ApproveText, ApproveButton     string
	Approved                                string
	ApprovedText                            func(life time.Duration) string
	RemoveHub                               string
	RemoveAsk                               func(name string, devices int) string
	Cancel, HubRemoved                      string
	DoorLabel, This, End, EndAll, EndAllAsk string
	SessionEnded, SessionGone               string
	OldPassword, Change, ChangeText         string
	Changed, ChangedText                    string
	What, Details, NoHistory                string
	Events, Causes                          map[string]string

	Wrong, NotActivated, Differ, BadEmail, BadForm          string // problems
	NoCode, LinkDead, CannotReset, EmailTaken, Busy, NoPage string
	TooMany, TooManySessions, HubGone                       string
	Locked                                                  string
	Weak                                                    map[string]string // by account.Weak, but for the length
}
