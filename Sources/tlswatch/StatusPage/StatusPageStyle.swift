extension StatusPage {
    /// SHA-256 of `style`, base64, as `scriptHash`.
    static let styleHash = "T+H637RnwM+oPjAuJqek4Lad5jZBybPR//QvNExDAwM="

    /// Light and dark by the reader's own choice; one column below 60 em. Text holds 4.5:1 against its ground.
    static let style = """
        :root{color-scheme:light dark;--ground:#f4f3ef;--panel:#fdfcfa;--ink:#1b2126;--soft:#596269;--line:#dcdad3;
        --rail:#e9e7e1;--p50:#0e7c86;--p90:#3f5fd0;--p99:#c2410c;--good:#1d7a4c;--bad:#b42318;--odd:#8a5a00;
        --tcp:#7d8890;--kex:#6d4fc4;--finish:#3b9775;--tickets:#b4d9ca;--alpn:#be7b0a;--cpu:#3b464e;--wait:#c9c8c2;
        --queue:#c8502a;--unread:#d3a520;
        --warn:#fdf0d5;--alarm:#fbe4e1}
        @media (prefers-color-scheme:dark){:root{--ground:#0e1114;--panel:#161a1f;--ink:#e6e9eb;--soft:#97a2aa;
        --line:#272d33;--rail:#22282e;--p50:#4cc5cf;--p90:#8ea6ff;--p99:#ff9a62;--good:#5ecb95;--bad:#ff8d80;
        --odd:#e3b250;--tcp:#75818a;--kex:#a48bf5;--finish:#3a9873;--tickets:#26543f;--alpn:#eab04a;--cpu:#c2ccd3;
        --wait:#3a434a;--queue:#ef8354;--unread:#e0bb4c;--warn:#33280f;--alarm:#3b1815}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:76rem;padding:0 1.25rem 2rem;background:var(--ground);color:var(--ink);
        font:14px/1.45 Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
        font-variant-numeric:tabular-nums;overflow-wrap:anywhere;-webkit-text-size-adjust:100%}
        code,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.92em}
        small{font-size:.8em}
        a{color:inherit;text-underline-offset:.2em}
        abbr{text-decoration:none;color:var(--soft);cursor:help}
        :focus-visible{outline:2px solid var(--p90);outline-offset:2px;border-radius:3px}
        h1,h2,p,dl,dd,ol,ul,pre{margin:0;padding:0}
        .hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}

        body>header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem 1.5rem;padding:1.1rem 0 .9rem}
        h1{font-size:1.15rem;font-weight:700;letter-spacing:-.01em;flex:1 1 auto;min-width:0}
        h1 span{font-weight:400;color:var(--soft);margin-left:.4em}
        .state{color:var(--soft)}
        .state::before{content:"";display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.5em;
        background:var(--tcp)}
        .live .state::before{background:var(--good)}
        .stale .state{color:var(--bad);font-weight:600}
        .stale .state::before{background:var(--bad)}
        .stale main{filter:grayscale(1)}
        #alarm{flex-basis:100%;background:var(--alarm);color:var(--bad);font-weight:600;padding:.6rem .9rem;
        border-radius:6px}
        .select{display:flex;flex-wrap:wrap;gap:.4rem .9rem;align-items:baseline;margin-bottom:.75rem;color:var(--soft);
        font-size:.88rem}
        .select label{display:flex;align-items:baseline;gap:.4em;flex:1 1 9rem;min-width:0;white-space:nowrap}
        .select .where{flex:3 1 16rem}
        .select input{font:inherit;flex:1;min-width:0;width:100%;padding:.15rem .4rem;color:var(--ink);
        background:var(--panel);border:1px solid var(--line);border-radius:4px}
        .select button{font:inherit;padding:.15rem .8rem;color:var(--ink);background:var(--rail);
        border:1px solid var(--line);border-radius:4px;cursor:pointer}
        .fault{white-space:pre-wrap}
        .notice{padding:.6rem .9rem;margin-bottom:.75rem;border-radius:6px;background:var(--rail)}
        .notice.warn{background:var(--warn);box-shadow:inset 3px 0 var(--odd)}
        .quiet{color:var(--soft);margin:.25rem 0 .75rem}
        main>.quiet{margin-left:.2rem}

        .roles,.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:0 .75rem}
        .panel{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.9rem 1rem 1rem;
        margin-bottom:.75rem;min-width:0}
        .panel>header{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:0 1rem;
        margin-bottom:.6rem}
        h2{font-size:1rem;font-weight:650}
        .roles h2::first-letter{text-transform:uppercase}
        .panel>header p{color:var(--soft)}
        .empty{padding:2rem 1.5rem}
        .empty p,.empty pre{margin-top:.7rem;max-width:44rem}
        pre{background:var(--rail);border-radius:6px;padding:.6rem .8rem;overflow-x:auto}

        .figures{display:grid;grid-template-columns:repeat(3,1fr);gap:.75rem;margin-bottom:.5rem}
        .figures dt{color:var(--soft);font-size:.82rem;font-weight:600;display:flex;align-items:center;gap:.45em}
        .figures dt::before{content:"";width:1em;height:3px;border-radius:2px;background:currentColor}
        .figures .p50 dt::before{background:var(--p50)}
        .figures .p90 dt::before{background:var(--p90)}
        .figures .p99 dt::before{background:var(--p99)}
        .figures dd{font-size:1.9rem;line-height:1.2;font-weight:600;letter-spacing:-.025em;white-space:nowrap}
        .figures small{font-size:.5em;font-weight:500;letter-spacing:0;color:var(--soft)}

        svg{display:block;overflow:visible}
        svg text{fill:var(--soft);font-size:11px}
        svg line{stroke:var(--line);stroke-width:1}
        .chart{display:flex;gap:8px}
        .axis{flex:none;width:3.4rem}
        .axis text,.to{text-anchor:end}
        .middle{text-anchor:middle}
        .plot{flex:1;min-width:0}
        .plot path{fill:none;stroke-width:1.75;stroke-linecap:round;stroke-linejoin:round;
        vector-effect:non-scaling-stroke}
        .plot .p50{stroke:var(--p50)}
        .plot .p90{stroke:var(--p90)}
        .plot .p99{stroke:var(--p99)}
        .plot .area{fill:var(--p90);opacity:.09}
        .plot .bars{fill:var(--tcp)}
        .plot .running{opacity:.45}
        .plot .base{stroke:var(--tcp)}
        .unseen{fill:var(--rail);opacity:.7}

        table{width:100%;border-collapse:collapse}
        th,td{padding:.18rem .6rem .18rem 0;text-align:left;vertical-align:baseline;font-weight:400}
        thead th{color:var(--soft);font-size:.82rem;border-bottom:1px solid var(--line)}
        .scroll{overflow-x:auto}.recent td,.recent th{text-align:left;padding-right:.8rem;vertical-align:baseline}
        .recent td:first-child,.recent td:last-child{white-space:nowrap;font-variant-numeric:tabular-nums}
        .outcomes td,.outcomes thead th:not(:first-child){text-align:right;white-space:nowrap}
        .outcomes .meter{width:26%;padding:0 0 0 .6rem;vertical-align:middle}
        .outcomes tbody th{font-weight:600}
        .outcomes tbody .reason{font-weight:400;padding-left:1.1rem;color:var(--soft)}
        .none{color:var(--soft)}
        rect.failed{fill:var(--bad)}
        rect.abandoned,rect.timeout{fill:var(--odd)}

        .legend{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;list-style:none;color:var(--soft);font-size:.82rem;
        margin-bottom:.4rem}
        .legend li::before{content:"";display:inline-block;width:.85em;height:.85em;border-radius:2px;
        margin-right:.45em;vertical-align:-.08em;background:var(--ink)}
        .legend .tcp::before{background:var(--tcp)}
        .legend .hello::before{width:.6em;height:.6em;border-radius:50%;vertical-align:.02em}
        .legend .kex::before{background:var(--kex)}
        .legend .finish::before{background:var(--finish)}
        .legend .tickets::before{background:var(--tickets)}
        .legend .alpn::before{background:var(--alpn);height:.4em;vertical-align:.15em}
        .legend .cpu::before{background:var(--cpu);height:.4em;vertical-align:.15em}
        .legend .runqueue::before{background:var(--queue);height:.4em;vertical-align:.15em}
        .legend .unread::before{background:var(--unread);height:.4em;vertical-align:.15em}
        .legend .wait::before{background:var(--wait);height:.4em;vertical-align:.15em}
        .legend .cut::before{content:"//";background:none;width:auto;font-weight:700;vertical-align:0}
        .slowest{list-style:none}
        .slowest>li{border-top:1px solid var(--line)}
        summary{display:grid;grid-template-columns:6.2rem minmax(0,19rem) minmax(0,1fr);gap:.1rem .9rem;
        padding:.6rem 0 .35rem;cursor:pointer;list-style:none}
        summary::-webkit-details-marker{display:none}
        summary .total{font-size:1.2rem;line-height:1.2;font-weight:600;letter-spacing:-.015em;white-space:nowrap}
        summary .total::before{content:"▸";display:inline-block;width:1.1em;font-size:.7em;color:var(--soft);
        vertical-align:.12em}
        [open]>summary .total::before{content:"▾"}
        summary .total small{font-size:.65em;font-weight:500;color:var(--soft)}
        .who{min-width:0}
        .peer{color:var(--soft)}
        .who,.facts span{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
        .facts{grid-column:2;display:flex;flex-wrap:wrap;gap:.15rem .3rem;font-size:.78rem;color:var(--soft);
        align-self:start;min-width:0}
        .facts span{border:1px solid var(--line);border-radius:4px;padding:0 .35em;min-width:0}
        .waterfall{grid-column:3;grid-row:1/span 2;width:100%}
        .track{fill:var(--rail)}
        .waterfall rect{y:4px;height:12px}
        .waterfall line{stroke:var(--tcp)}
        .waterfall .tcp{fill:var(--tcp)}
        .waterfall .kex{fill:var(--kex)}
        .waterfall .finish{fill:var(--finish)}
        .waterfall .tickets{fill:var(--tickets)}
        .waterfall .alpn{fill:var(--alpn);y:19px;height:5px}
        .waterfall .cpu{fill:var(--cpu);y:27px;height:5px}
        .waterfall .runqueue{fill:var(--queue);y:27px;height:5px}
        .waterfall .unread{fill:var(--unread);y:27px;height:5px}
        .waterfall .peer,.waterfall .wait{fill:var(--wait);y:27px;height:5px}
        .waterfall .hello line{stroke:var(--ink);stroke-width:1.5}
        .hello circle{fill:var(--ink)}
        .gap{stroke-dasharray:2 3}
        .cut{stroke:var(--panel);stroke-width:2.5;fill:none}
        .cut.idle{stroke:var(--tcp);stroke-width:1.5}
        .details{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:.5rem 2rem;
        padding:.3rem 0 1rem;font-size:.88rem;align-items:start}
        .details td:not(:first-child){white-space:nowrap}
        .details td,.details thead th:not(:first-child){text-align:right}
        .details td:last-child,.details thead th:last-child{padding-right:0}
        .details td:nth-child(4){color:var(--soft)}
        .details dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.1rem 1rem;align-content:start}
        .details dt{color:var(--soft)}
        .libraries{list-style:none}
        .libraries li{display:flex;flex-wrap:wrap;gap:0 .9rem;padding:.4rem 0;border-top:1px solid var(--line)}
        .libraries b,.libraries small{flex-basis:100%;min-width:0}
        .libraries b{font-weight:500}
        .libraries span{color:var(--soft)}
        .libraries .ok{color:var(--good)}
        .libraries .no{color:var(--odd)}
        .libraries small{color:var(--soft);font-size:.88em}
        footer{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;color:var(--soft);font-size:.85rem;padding-top:.3rem}
        footer .links{flex:1;display:flex;gap:.8rem}

        @media (max-width:60em){summary{grid-template-columns:6.2rem minmax(0,1fr)}
        .waterfall{grid-column:1/-1;grid-row:auto;margin-top:.3rem}}
        @media (max-width:34em){body{padding:0 .6rem 1.5rem;font-size:13.5px}.panel{padding:.75rem .7rem .8rem}
        .figures{gap:.4rem}.figures dd{font-size:1.45rem}.axis{width:2.9rem}.outcomes .meter{display:none}
        .outcomes tbody .reason{padding-left:.7rem}.empty{padding:1.2rem .9rem}
        .details table{font-size:.94em}}
        """
}
