module cluster.local/images

go 1.24
