# 导入台账
help-import = 导入旧台账（CSV）：逐行清洗，报告每一行的去向
help-import-ledger = 台账文件：CSV，UTF-8 或 GB18030
help-import-with = 名录文件夹：stations.json、pinggu-divisions.csv；可另有 vocab.json
help-import-year = 台账年度，如 2025
help-import-report = 把完整报告写成 JSON 文件
help-import-rejected = 把拒收的行写成 CSV，改正后可再导入；不写时放在台账旁边，试运行时不写
help-import-dry-run = 只清洗和报告，不入库；不用登记，除报告外什么都不写
help-import-without-states = 不带入审核状态：除草稿外都作为新提交的记录
help-import-station = 只入库这些站点的行，可写多次；报告仍是整本台账的
help-import-json = 在屏幕上输出完整报告
help-import-examples =
    例：
      qianmo import 台账.csv --with 名录 --year 2025 --dry-run --report 报告.json
      qianmo import 台账.csv --with 名录 --year 2025 --rejected 拒收.csv
      qianmo import 拒收.csv --with 名录 --year 2025

    站点、人员、组织、服务对象和年度任务先入名录，再入记录；已有的不会重复。
    审核状态只有协调员能带入。有拒收的行也以 0 结束；看报告。
help-duplicates = 列出重复的记录：两台平板各自导入同一本台账之后
help-duplicates-withdraw = 撤销多出来的；每台平板留下的都是同一条
help-duplicates-examples =
    例：
      qianmo duplicates
      qianmo duplicates --withdraw

    留下最早创建的一条；撤销的只是隐藏，历史都在。

import-dry-run = 试运行：没有入库
import-reading = 清洗
import-filing = 入库
import-missing-columns = 台账没有这些列，按空白处理：{ $columns }
import-summary =
    { $file }（{ $encoding }）：{ $rows }行
    跳过{ $skipped }行，拒收{ $rejected }行，接收{ $accepted }行（其中更正{ $corrected }行，已通过审核{ $approved }行）
import-skipped = 跳过
import-rejected = 拒收
import-corrected = 更正（一行可有几处）
import-flagged = 提示（给审核人看，不影响接收）
import-refused-next = 拒收的{ $count }行在 { $file }；改正后再导入一次
import-entries-filed = 名录：新增{ $created }条，更新{ $changed }条，不变{ $unchanged }条，无权写{ $not_allowed }条，表单不收{ $untaken }条
import-rows-filed = 记录：新增{ $created }条，已有{ $known }条，与已有记录重复{ $same }条，未选站点{ $left_out }条，表单不收{ $untaken }条
import-row-same = 第{ $row }行：和已有的记录 { $record } 站点、类型、日期、人员、对象、开始时间都相同，没有再录入
import-row-untaken = 第{ $row }行：{ $why }
import-untaken = 有{ $count }行清洗后表单仍不收
import-no-right = 您不能写这些站点的记录：{ $stations }
import-no-states = 您不能带入这些站点的审核状态：{ $stations }
import-without-states = 不带入审核状态：除草稿外，每条都作为新提交的记录
import-no-organisation = 您不能写全组织的名录：站点、人员和组织不入库，请协调员导入一次

next-import-no-right = 用 --station 只选自己的站点，或请管理员授权
next-import-no-states = 请协调员来导入，或加 --without-states 作为新提交的记录
next-import-again = 再运行一次同样的命令会接着入库，不会重复
next-import-untaken = 按上面的说明改台账的这些行，再导入一次
error-ledger = { $file } 不能当台账读
error-ledger-same-file = 报告和拒收文件不能写到台账自己 { $file } 里
next-ledger-same-file = 给 --report 和 --rejected 换一个文件名
error-ledger-changed = 入库时台账 { $file } 被改动了；已入库的都在
next-ledger-changed = 关掉正在编辑它的程序，再导入一次；已有的不会重复
next-ledger-empty = 检查文件是否选对
next-ledger-large = 按站点或月份分成几个文件
next-ledger-workbook = 在 Excel 或 WPS 里打开，另存为“CSV UTF-8（逗号分隔）”
next-ledger-text = 台账要是 CSV 文本文件
next-ledger-quote = 检查这一行之后有没有没配对的英文双引号
next-ledger-shape = 打开文件看这一行，删去多余的内容
next-ledger-encoding = 用编辑器打开，另存为 UTF-8
next-ledger-folder = 这是文件夹；请写出里面的文件名
next-ledger-header = 第一行要是表头，如 记录编号,站点编号,记录类型,日期…；删去表头上面的标题行
error-with = 名录文件夹 { $folder } 不能用
next-with-missing = 文件夹里要有 { $stations } 和 { $divisions }
next-with-broken = 按上面说的位置改正这个文件（{ $stations }、{ $divisions }），或重新取一份

duplicates-none = 没有重复的记录
duplicates-next = 多出{ $count }条；用 qianmo duplicates --withdraw 一次撤销
duplicates-withdrawn = 已撤销{ $count }条
duplicates-note = 与 { $record } 重复
column-stays = 留下
column-duplicates = 重复
