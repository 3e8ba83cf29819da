package site

// OwnHost is for tests.
var OwnHost = ownHost
