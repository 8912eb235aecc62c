module gohandshakes

go 1.19
