# plots.gp - gnuplot -e "data='DIRECTORY'; plots='DIRECTORY'": SVG from results.tsv and model.tsv.

set datafile separator "\t"
set terminal svg size 900,540 font "sans-serif,13" background "white"
set key outside right top
set grid y
cells = data . "/results.tsv"

rows = "tsmbr_lane tsmbr_lane_resource tsmbr_allocate tsmbr_pmr_adapter tsmbr_pmr_system tsmbr_shared_only pmr_private pmr_mutex pmr_sync_pool "\
     . "boost_mutex protobuf_arena glibc_malloc jemalloc mimalloc tcmalloc tbbmalloc raw_bump raw_bump_huge raw_cas"
# Those of them with a cell where `condition` holds: awk's, over workload bytes alignment threads extent row.
shown(condition) = system(sprintf("awk -F'\t' -v rows='%s' '%s { seen[$6] = 1 } "\
                 . "END { n = split(rows, row, \" \"); for (i = 1; i <= n; i++) if (row[i] in seen) print row[i] }' '%s'", \
                   rows, condition, cells))

# Ours in full, the marks dashed, the rest thin.
width(row) = row[1:5] eq "tsmbr" ? 3 : 1
dash(row) = row eq "pmr_private" || row eq "raw_bump" ? 2 : 1

# A row's line in such a group of cells.
pick(condition, row) = sprintf("< awk -F'\t' '%s && $6 == \"%s\"' '%s'", condition, row, cells)

set logscale xy 2
set xlabel "threads"
set ylabel "ns of a core for one block"

set output plots . "/warm_threads.svg"
set title "Warm memory, 64-byte blocks"
group = '$1 == "warm" && $2 == 64 && $3 == 8 && $5 == 0'
plot for [row in shown(group)] pick(group, row) using 4:7 \
    with linespoints lw width(row) dt dash(row) title row noenhanced

set output plots . "/cold_threads.svg"
set title "Fresh memory, 64-byte blocks, every line written"
group = '$1 == "cold" && $2 == 64 && $3 == 8'
plot for [row in shown(group)] pick(group, row) using 4:7 \
    with linespoints lw width(row) dt dash(row) title row noenhanced

set output plots . "/frame_threads.svg"
set title "Frames of 1 MiB a thread, mixed sizes, everything default"
group = '$1 == "frame" && $5 == 0'
plot for [row in shown(group)] pick(group, row) using 4:7 \
    with linespoints lw width(row) dt dash(row) title row noenhanced

set output plots . "/containers_threads.svg"
set title "std::pmr map of strings to vectors"
set ylabel "ns of a core for one insertion"
group = '$1 == "containers"'
plot for [row in shown(group)] pick(group, row) using 4:7 \
    with linespoints lw width(row) dt dash(row) title row noenhanced

set output plots . "/warm_sizes.svg"
set title "Warm memory, two threads"
set xlabel "bytes of a block"
set ylabel "ns of a core for one block"
group = '$1 == "warm" && $2 != 0 && $3 == 8 && $4 == 2 && $5 == 0'
plot for [row in shown(group)] pick(group, row) using 2:7 \
    with linespoints lw width(row) dt dash(row) title row noenhanced

set output plots . "/model.svg"
set title "A MODEL, not a measurement: 64-byte blocks, one line that all share (bench/model.hpp)"
set xlabel "cores"
set ylabel "blocks per microsecond, all cores"
plot data . "/model.tsv" using 1:2 skip 1 with linespoints lw 3 title "tsmbr_allocate" noenhanced, \
     "" using 1:3 skip 1 with linespoints lw 3 title "tsmbr_shared_only" noenhanced

unset logscale
unset key
set style fill solid 0.7
set boxwidth 0.7
set xtics rotate by -40 noenhanced
set xlabel ""
set rmargin 10
set ylabel "ns of a core for one block"
set yrange [0:*]

set output plots . "/cold_512.svg"
set title "Fresh memory: 512 MiB in 32-byte blocks, each written, one thread"
plot "< awk -F'\t' '$1 == \"cold\" && $5 == 512 && $4 == 1' '" . cells . "'" using 7:xtic(6) with boxes

set output plots . "/word_index.svg"
set title "Word index of /usr/include, two threads"
plot "< awk -F'\t' '$1 == \"index\" && $5 == 0 && $4 == 2' '" . cells . "'" using 7:xtic(6) with boxes
