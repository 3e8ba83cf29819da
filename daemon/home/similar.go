package home

import "strings"

// Similar returns the known word that a misspelled one most likely stands for; empty where none is near. Letter case
// does not count.
func Similar(word string, known []string) string {
	best, nearest := "", 1+max(1, min(len([]rune(word))/3, 3))
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k), nearest); d < nearest {
			best, nearest = k, d
		}
	}
	return best
}

// distance returns how many runes have to be added, removed, replaced or exchanged with their neighbour to make b of a,
// or limit where it is no less.
func distance(a, b string, limit int) int {
	from, to := []rune(a), []rune(b)
	if len(from)-len(to) >= limit || len(to)-len(from) >= limit {
		return limit
	}
	var rows [3][]int // the last two rows of the table, and the present one
	for i := range rows {
		rows[i] = make([]int, len(to)+1)
	}
	for i := range rows[2] {
		rows[2][i] = i
	}
	for i, r := range from {
		rows[0], rows[1], rows[2] = rows[1], rows[2], rows[0]
		rows[2][0] = i + 1
		for j, s := range to {
			same := 1
			if r == s {
				same = 0
			}
			d := min(rows[1][j]+same, rows[1][j+1]+1, rows[2][j]+1)
			if i > 0 && j > 0 && r == to[j-1] && from[i-1] == s {
				d = min(d, rows[0][j-1]+1)
			}
			rows[2][j+1] = d
		}
	}
	return min(rows[2][len(to)], limit)
}
